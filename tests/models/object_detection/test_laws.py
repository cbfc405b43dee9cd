"""The task obeys the laws of tasks."""

from app.testing import TaskTests
from models.object_detection import ObjectDetection


class TestObjectDetection(TaskTests):
    task = ObjectDetection()
    min_sample_score = 0.7
    max_examples = 40
    rejected_payloads = ((b"", "empty"), (b"no picture", "not_an_image"))
