"""From a recording of English speech to its words."""

from models.speech_to_text.task import SpeechToText

__all__ = ["SpeechToText"]
