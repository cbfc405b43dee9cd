import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from app.preprocess.sessions import log_clock
from app.preprocess.sessions.log_clock import LogClock, Offsets
from app.settings import Settings

TOPIC = "letters.requests"


class Log:
    """A fake of Kafka: one partition, its end and the group's committed offset."""

    def __init__(self) -> None:
        self.end, self.committed, self.queries, self.unavailable = 5, 3, 0, False

    async def check_committed(
        self, settings: Settings, group: str, topic: str, awaited: Offsets | None
    ) -> tuple[Offsets, bool]:
        self.queries += 1
        if self.unavailable:
            raise KafkaConnectionError
        ends = {TopicPartition(topic, 0): self.end}
        return ends, self.committed >= (ends if awaited is None else awaited)[TopicPartition(topic, 0)]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    fake = Log()
    monkeypatch.setattr(log_clock, "check_committed", fake.check_committed)
    return fake


def test_the_clock_advances_to_a_time_once_the_records_of_that_time_are_committed(log: Log) -> None:
    clock = LogClock(Settings(), "group")
    assert clock.read_until(TOPIC, 10_000) == 0
    log.end, log.committed = 9, 4
    assert clock.read_until(TOPIC, 20_000) == 0
    log.committed = 5
    assert clock.read_until(TOPIC, 30_000) == 10_000
    log.committed = 9
    assert clock.read_until(TOPIC, 40_000) == 30_000


def test_the_clock_stands_still_while_kafka_is_unavailable_and_queries_it_at_most_once_a_second(log: Log) -> None:
    clock = LogClock(Settings(), "group")
    log.committed = 5
    assert clock.read_until(TOPIC, 10_000) == 10_000
    assert clock.read_until(TOPIC, 10_999) == 10_000
    assert log.queries == 1
    log.unavailable = True
    assert clock.read_until(TOPIC, 20_000) == 10_000
