"""Small networks that are trained from nothing, on made data, in minutes: examples of a trainer, and fast in tests."""

SMALL_TASKS = {
    "ocr": "models.small.ocr:Ocr",
    "speech_to_text": "models.small.speech_to_text:SpeechToText",
    "object_detection": "models.small.object_detection:ObjectDetection",
    "decision": "models.decision:Decision",
}
"""The default tasks of a deployment, `HINDSIGHT_TASKS`, answered by these networks."""
