"""Transcribing spoken numbers and commands in recordings."""

from models.small.speech_to_text.task import SpeechToText

__all__ = ["SpeechToText"]
