"""Finding objects in a picture: balls, books, bottles, keys, mugs, signs and stars."""

from models.small.object_detection.task import ObjectDetection

__all__ = ["ObjectDetection"]
