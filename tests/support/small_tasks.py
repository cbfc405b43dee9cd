"""The tasks of the tests: the shipped names, served by the small networks."""

SMALL_TASKS = {
    "ocr": "models.small.ocr:Ocr",
    "speech_to_text": "models.small.speech_to_text:SpeechToText",
    "object_detection": "models.small.object_detection:ObjectDetection",
    "decision": "models.decision:Decision",
}
