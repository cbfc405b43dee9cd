"""Every shipped task obeys the laws of tasks."""

from app.testing import TaskTests
from models.decision import Decision
from models.small.object_detection import ObjectDetection
from models.small.ocr import Ocr
from models.small.speech_to_text import SpeechToText


class TestDecision(TaskTests):
    task = Decision()


class TestObjectDetection(TaskTests):
    task = ObjectDetection()


class TestOcr(TaskTests):
    task = Ocr()
    min_sample_score = 0.9


class TestSpeechToText(TaskTests):
    task = SpeechToText()
    min_sample_score = 0.8
