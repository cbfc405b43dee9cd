import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from app.preprocess.sessions import log_clock
from app.preprocess.sessions.log_clock import LogClock, Offsets
from app.settings import Settings

TOPIC = "letters.requests"


class Log:
    """Stands in for Kafka: one partition, its end and what the group has committed of it."""

    def __init__(self) -> None:
        self.end, self.committed, self.asked, self.away = 5, 3, 0, False

    async def look(self, config: Settings, group: str, topic: str, awaited: Offsets | None) -> tuple[Offsets, bool]:
        self.asked += 1
        if self.away:
            raise KafkaConnectionError
        ends = {TopicPartition(topic, 0): self.end}
        return ends, self.committed >= (ends if awaited is None else awaited)[TopicPartition(topic, 0)]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    monkeypatch.setattr(log_clock, "check_committed", made.look)
    return made


def test_the_log_is_read_until_a_time_once_all_that_was_there_then_is_committed(log: Log) -> None:
    read = LogClock(Settings(), "group")
    assert read.read_until(TOPIC, 10_000) == 0
    log.end, log.committed = 9, 4
    assert read.read_until(TOPIC, 20_000) == 0
    log.committed = 5
    assert read.read_until(TOPIC, 30_000) == 10_000
    log.committed = 9
    assert read.read_until(TOPIC, 40_000) == 30_000


def test_while_kafka_is_away_time_stands_still_and_it_is_not_asked_more_than_once_a_second(log: Log) -> None:
    read = LogClock(Settings(), "group")
    log.committed = 5
    assert read.read_until(TOPIC, 10_000) == 10_000
    assert read.read_until(TOPIC, 10_999) == 10_000
    assert log.asked == 1
    log.away = True
    assert read.read_until(TOPIC, 20_000) == 10_000
