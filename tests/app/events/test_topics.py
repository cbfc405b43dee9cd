from app.events.topics import required_topics
from app.settings import MiB, Settings


def test_every_task_has_its_topics_and_all_share_two() -> None:
    settings = Settings(tasks={"ocr": "", "letters": ""}, partitions=5, max_payload_bytes=2 * MiB)
    limits = {topic.name: (topic.partitions, topic.max_message_bytes // MiB) for topic in required_topics(settings)}
    assert limits == {
        "dead-letters": (1, 8),
        "lifecycle": (1, 1),
        "ocr.requests": (5, 2),
        "ocr.features": (5, 4),
        "ocr.predictions": (5, 1),
        "ocr.shadow-predictions": (5, 1),
        "ocr.feedback": (5, 1),
        "ocr.joins": (5, 2),
        "ocr.outcomes": (5, 4),
        "letters.requests": (5, 2),
        "letters.features": (5, 4),
        "letters.predictions": (5, 1),
        "letters.shadow-predictions": (5, 1),
        "letters.feedback": (5, 1),
        "letters.joins": (5, 2),
        "letters.outcomes": (5, 4),
    }


def test_no_topic_deletes_events_by_age_or_size() -> None:
    for topic in required_topics(Settings()):
        assert topic.configs["retention.ms"] == topic.configs["retention.bytes"] == "-1"
        assert topic.configs["cleanup.policy"] == "delete"
        assert topic.configs["message.timestamp.type"] == "LogAppendTime"
