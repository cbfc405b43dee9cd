import asyncio
import io
import itertools
import re
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from rich.console import Console

from app.demo.demonstration import AUDIT_RATE, Demonstration, with_audit
from app.events.cloudevents import decode_headers
from app.events.types import FeedbackGiven
from app.settings import Settings, TaskSettings
from tests.support.fake_inference import run_fake_inference
from tests.support.tasks import Letters


@pytest.fixture
def letters(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("app.demo.demonstration.PER_SECOND", 200.0)
    return audited_at(platform.model_copy(update={"tasks": {"letters": platform.tasks["letters"]}}), 0.0)


def audited_at(config: Settings, rate: float) -> Settings:
    """Return the settings with this audit rate."""
    return config.model_copy(update={"task_settings": {"letters": TaskSettings(audit_rate=rate)}})


async def run_demonstration(config: Settings, console: Console, samples: int) -> Demonstration:
    """Run the demonstration until the first sample after the burst."""
    numbers = itertools.count()

    def answer_each_third_wrong(payload: bytes) -> dict[str, Any]:
        number = next(numbers)
        if number == 4:
            raise ValueError("it is bad")
        return {"sum": 7.0 if number % 3 == 2 else 294.0}

    demonstration = Demonstration(config, console)
    async with run_fake_inference(config, answer_each_third_wrong):
        run = asyncio.create_task(demonstration.run(samples, trickle_seconds=0.1))
        async with asyncio.timeout(60):
            while demonstration.tallies["letters"].status_counts.total() <= samples:
                assert not run.done(), run.exception()
                await asyncio.sleep(0.02)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    return demonstration


async def read_feedback(config: Settings, queue: str | None) -> list[tuple[FeedbackGiven, Any]]:
    """Return the demonstration's feedback that this queue asked for, with its headers."""
    consumer = AIOKafkaConsumer("letters.feedback", bootstrap_servers=config.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    batches = await consumer.getmany(timeout_ms=3000)
    await consumer.stop()
    records = [record for batch in batches.values() for record in batch]
    feedback = [(FeedbackGiven.model_validate_json(record.value), record.headers) for record in records]
    return [(one, headers) for one, headers in feedback if (one.actor, one.queue) == ("demo", queue)]


async def test_the_demonstration_sends_samples_and_corrects_wrong_predictions(letters: Settings) -> None:
    demonstration = await run_demonstration(letters, Console(file=io.StringIO()), 30)
    tally = demonstration.tallies["letters"]
    assert (tally.status_counts["corrected"], tally.status_counts["failed"], tally.status_counts["wrong"]) == (10, 1, 0)
    corrections = await read_feedback(letters, None)
    assert len(corrections) == 10
    assert all(feedback.correction == {"sum": 294.0} for feedback, _ in corrections)
    assert {decode_headers(headers)["ce_source"] for _, headers in corrections} == {"hindsight/api"}


async def test_predictions_that_the_task_rewards_are_rewarded(
    letters: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Letters, "reward", lambda self, sample, output, rng: 0.25 if output["sum"] == 294.0 else -0.5)
    console = Console(file=io.StringIO(), width=80)
    demonstration = await run_demonstration(letters, console, 30)
    assert isinstance(console.file, io.StringIO)
    assert demonstration.tallies["letters"].status_counts["corrected"] == 0
    assert re.search(
        r"letters: 30 samples, 29 rewarded with -0\.009 each, 1 failed; latency p50 \d+ ms", console.file.getvalue()
    )


async def test_without_a_terminal_the_demonstration_prints_plain_lines(letters: Settings) -> None:
    console = Console(file=io.StringIO(), width=80)
    await run_demonstration(letters, console, 30)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "\x1b" not in text
    assert len(re.findall(r'^\{"sum": 294.0\}  \{"sum": 294.0\}  0\.750  \d+ ms  right$', text, re.M)) >= 19
    assert len(re.findall(r'^\{"sum": 294.0\}  \{"sum": 7.0\}  0\.750  \d+ ms  corrected$', text, re.M)) >= 10
    assert re.search(r"\(it is bad \(preprocess: bad\)\)    \d+ ms  failed", text)


async def test_the_demonstration_prints_a_summary_and_where_to_look_next(letters: Settings) -> None:
    console = Console(file=io.StringIO(), width=80)
    await run_demonstration(letters, console, 30)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert re.search(
        r"letters: 30 samples, 10 wrong, 10 corrected, 1 failed; error 34.5%; latency p50 \d+ ms, p99 \d+ ms", text
    )
    for place in ("/docs", "/readyz", "/metrics", "hindsight send letters FILE", "letters.predictions", "logs"):
        assert place in text.partition("Where to look next:")[2]
    assert re.search(r"letters: \{.sum.: .*\}\n +http://\S+/review\?task=letters&id=letters:\S+\n", text)


async def test_on_a_terminal_the_demonstration_shows_a_live_table(letters: Settings) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    await run_demonstration(letters, console, 30)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "\x1b" in text
    assert "confidence" in text
    assert "corrected" in text


async def test_tasks_without_samples_are_left_out_of_the_demonstration(
    letters: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Letters, "samples", lambda self: [])
    demonstration = Demonstration(letters, Console(file=io.StringIO()))
    async with asyncio.timeout(60):
        await demonstration.run(30, trickle_seconds=0.1)
    assert demonstration.tallies["letters"].status_counts.total() == 0


async def test_predictions_in_the_audit_are_reviewed_whether_right_or_wrong(letters: Settings) -> None:
    demonstration = await run_demonstration(audited_at(letters, 1.0), Console(file=io.StringIO()), 30)
    assert demonstration.tallies["letters"].status_counts["corrected"] == 10
    reviews = [feedback for feedback, _ in await read_feedback(letters, "audit")]
    assert len(reviews) == 29
    assert all(review.correction == {"sum": 294.0} and review.blind for review in reviews)


def test_the_demonstration_audits_enough_unless_a_setting_says_how_much(letters: Settings) -> None:
    unset = letters.model_copy(update={"task_settings": {}})
    assert with_audit(unset).for_task("letters").audit_rate == AUDIT_RATE
    for own in (TaskSettings(audit_rate=0.02), TaskSettings(full_feedback=True)):
        kept = with_audit(letters.model_copy(update={"task_settings": {"letters": own}}))
        assert kept.for_task("letters") == own
