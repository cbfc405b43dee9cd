"""A dead letter for tests of its texts."""

from datetime import UTC, datetime

from app.dead_letters.letter import DeadLetterEntry

LETTER = DeadLetterEntry(
    id="4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11",
    logged=datetime(2026, 1, 31, 12, tzinfo=UTC),
    stage="preprocess",
    code="unreadable_image",
    reason="the payload is not an image: it begins with 6e6f7420616e20696d616765, which is no format that is read here",
    topic="ocr.requests",
    partition=0,
    offset=12,
    event_identity=("https://shop.example/checkout", "c0ffee00-6a3c-5b8e-9f3a-0d6c1c2b7a11"),
    key=None,
    position=("epoch", 0, 3),
    redeliveries=2,
)
