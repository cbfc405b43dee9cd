"""Sources on which shipped models are bad, and datasets of what the platform serves for them."""

from benchmarks.studies.drifted import object_detection, ocr, speech_to_text
from benchmarks.studies.drifted.source import DriftedSource
from models.small.object_detection import ObjectDetection
from models.small.ocr import Ocr
from models.small.speech_to_text import SpeechToText

SOURCES = {
    "ocr": DriftedSource(Ocr, ocr.draw_samples, ocr.judge_reward, ocr.measure_error, "CER"),
    "speech_to_text": DriftedSource(
        SpeechToText, speech_to_text.draw_samples, speech_to_text.judge_reward, speech_to_text.measure_error, "WER"
    ),
    "object_detection": DriftedSource(
        ObjectDetection,
        object_detection.draw_samples,
        object_detection.judge_reward,
        object_detection.measure_error,
        "1 - mAP@0.5",
    ),
}
