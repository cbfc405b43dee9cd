"""Sources that shipped models are bad at, and what the platform serves of them."""

from benchmarks.studies.drifted import object_detection, ocr, speech_to_text
from benchmarks.studies.drifted.source import Source
from models.object_detection import ObjectDetection
from models.ocr import Ocr
from models.speech_to_text import SpeechToText

SOURCES = {
    "ocr": Source(Ocr, ocr.samples, ocr.reward, ocr.error, "CER"),
    "speech_to_text": Source(SpeechToText, speech_to_text.samples, speech_to_text.reward, speech_to_text.error, "WER"),
    "object_detection": Source(
        ObjectDetection, object_detection.samples, object_detection.reward, object_detection.error, "1 - mAP@0.5"
    ),
}
