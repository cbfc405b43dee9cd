"""From a picture to the objects in it."""

from models.object_detection.task import ObjectDetection

__all__ = ["ObjectDetection"]
