"""The handler of the outcomes agent, with a real catalog."""

import random
import shutil
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.catalog.catalog import Catalog
from app.errors import Unavailable
from app.events.cloudevents import ConsumedRecord, Record, header_text
from app.events.types import OutcomeRecorded
from app.outcomes.label_aggregation import build_outcome, outcome_id
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory, ServedPrediction
from app.outcomes.recorder import OutcomeRecorder, RewardTimeouts
from app.outcomes.repartition import build_reward_timeout, repartition
from app.settings import Settings, TaskSettings
from models.base import Rejected
from tests.support.fake_inference import TASK
from tests.support.sum_task import (
    RetractionEvent,
    SumTask,
    as_consumed,
    consumed_record,
    feedback_lists,
    make_correction,
    make_feedback,
    make_retraction,
    make_served_prediction,
    minutes_after_start,
    prediction_id_of,
)

RULES = TaskSettings(audit_rate=0)
WINDOW = TaskSettings(audit_rate=0, reward_window_seconds=600)
NOW = minutes_after_start(60)


@pytest.fixture(scope="module")
def empty_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of an empty catalog to copy, because creating the tables takes long."""
    path = tmp_path_factory.mktemp("empty") / "catalog.sqlite"
    catalog = Catalog(f"sqlite:///{path}")
    catalog.upgrade()
    catalog.close()
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.upgrade()
    yield catalog
    catalog.close()


@pytest.fixture
def handler(catalog: Catalog) -> OutcomeRecorder:
    return make_recorder(catalog)


def make_recorder(
    catalog: Catalog, rules: TaskSettings = RULES, last: dict[bytes, bytes] | None = None
) -> OutcomeRecorder:
    return OutcomeRecorder(SumTask(), rules, catalog, {} if last is None else last, lambda: NOW)


def joins(*events: ServedPrediction | FeedbackEvent | RetractionEvent) -> list[ConsumedRecord]:
    """Return the events as they come from the repartitioned topic."""
    return [
        consumed_record(repartition(event, TASK, _prediction_id_of(source)), offset)
        for offset, (source, event) in enumerate(zip(events, as_consumed(events), strict=True))
    ]


def _prediction_id_of(event: ServedPrediction | FeedbackEvent | RetractionEvent) -> str:
    if isinstance(event, ServedPrediction):
        return event.prediction.prediction_id
    data = event.feedback if isinstance(event, FeedbackEvent) else event.retraction
    return data.task_and_prediction[1]


async def record_batch(
    handler: OutcomeRecorder, batch: Sequence[ConsumedRecord], delivered: bool = True
) -> list[Record]:
    """Handle the batch; return the outcomes."""
    answers = await handler(batch)
    if delivered:
        handler.on_delivered(batch, answers)
    return [record for answer in answers if isinstance(answer, Sequence) for record in answer]


def parse_outcome(record: Record) -> OutcomeRecorded:
    return OutcomeRecorded.model_validate_json(record.value or b"")


CORRECTION = make_feedback(1, **make_correction(2))


@pytest.mark.parametrize(
    "events", [(make_served_prediction(), CORRECTION), (CORRECTION, make_served_prediction())], ids=["late", "first"]
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_prediction_is_joined_with_its_feedback_in_either_order(
    handler: OutcomeRecorder, events: tuple[ServedPrediction | FeedbackEvent, ...], together: bool
) -> None:
    batches = [joins(*events)] if together else [[event] for event in joins(*events)]
    [record] = [record for batch in batches for record in await record_batch(handler, batch)]
    assert parse_outcome(record) == build_outcome(
        SumTask(), RULES, PredictionHistory(make_served_prediction(), (CORRECTION,)), NOW
    )


async def test_the_last_event_of_a_prediction_in_a_batch_is_answered_with_its_outcome(handler: OutcomeRecorder) -> None:
    batch = joins(
        make_served_prediction("1"),
        make_served_prediction("2"),
        make_feedback(1, request="1", **make_correction(2)),
        make_feedback(1, request="2", **make_correction(3)),
    )
    answers = await handler([*batch[:3], batch[3], batch[1]])
    assert [len(answer) if isinstance(answer, Sequence) else None for answer in answers] == [0, 0, 1, 0, 1]


async def test_feedback_of_an_unknown_prediction_has_no_outcome_yet(handler: OutcomeRecorder) -> None:
    assert await record_batch(handler, joins(CORRECTION)) == []


async def test_a_published_outcome_is_not_published_again(handler: OutcomeRecorder) -> None:
    assert len(await record_batch(handler, joins(make_served_prediction(), CORRECTION))) == 1
    assert await record_batch(handler, joins(CORRECTION)) == []


async def test_an_undelivered_outcome_is_published_again_with_its_id(handler: OutcomeRecorder) -> None:
    batch = joins(make_served_prediction(), CORRECTION)
    [undelivered] = await record_batch(handler, batch, delivered=False)
    await record_batch(handler, joins(make_served_prediction("2")))
    [republished] = await record_batch(handler, batch)
    assert header_text(undelivered.headers, "ce_id") == header_text(republished.headers, "ce_id")


async def test_an_outcome_that_changes_is_published_again(handler: OutcomeRecorder) -> None:
    await record_batch(handler, joins(make_served_prediction(), CORRECTION))
    [record] = await record_batch(handler, joins(make_feedback(2, **make_correction(3))))
    assert (parse_outcome(record).label, parse_outcome(record).feedback) == ({"sum": 3.0}, 2)


async def test_a_retraction_is_recorded_as_an_outcome_without_the_label(handler: OutcomeRecorder) -> None:
    await record_batch(handler, joins(make_served_prediction(), CORRECTION))
    [record] = await record_batch(handler, joins(make_retraction(CORRECTION)))
    outcome = parse_outcome(record)
    assert (outcome.label, outcome.actors, outcome.feedback, outcome.retracted) == (None, (), 0, 1)
    assert await record_batch(handler, joins(make_retraction(CORRECTION))) == []


async def test_an_invalid_record_is_rejected_alone(handler: OutcomeRecorder) -> None:
    valid = joins(make_served_prediction(), CORRECTION)
    invalid = [
        consumed_record(Record("letters.joins", key, b"", ()))
        for key in (None, b"\xff", b"ocr:1", prediction_id_of().encode())
    ]
    answers = await handler([*invalid, *valid])
    assert [answer.code for answer in answers[:4] if isinstance(answer, Rejected)] == ["bad_join"] * 4
    assert parse_outcome(next(iter(answers[5]))).label == {"sum": 2.0}  # type: ignore[arg-type]


async def test_an_unreachable_database_raises_unavailable(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(ids: Collection[str]) -> set[str]:
        raise Unavailable("the database is away")

    monkeypatch.setattr(catalog, "with_feedback", fail)
    with pytest.raises(Unavailable):
        await make_recorder(catalog)(joins(make_served_prediction()))


@hypothesis_settings(max_examples=30)
@given(
    feedback_lists("1"),
    feedback_lists("2"),
    st.sampled_from([RULES, TaskSettings(audit_rate=1), WINDOW]),
    st.integers(0),
)
async def test_outcomes_do_not_depend_on_deliveries_and_crashes(
    empty_catalog: Path,
    first_feedback: list[FeedbackEvent],
    second_feedback: list[FeedbackEvent],
    rules: TaskSettings,
    seed: int,
) -> None:
    """Out of order, twice, in batches of any size, some of which end in a crash, which may lose the cache."""
    random_source = random.Random(seed)
    feedback = {"1": first_feedback, "2": second_feedback}
    retractions = {
        request: [make_retraction(event) for event in events if random_source.random() < 0.4]
        for request, events in feedback.items()
    }
    events: list[ServedPrediction | FeedbackEvent | RetractionEvent] = [
        make_served_prediction("1"),
        make_served_prediction("2"),
        *first_feedback,
        *second_feedback,
        *(event for request_retractions in retractions.values() for event in request_retractions),
    ]
    random_source.shuffle(events)
    pending, log, last = joins(*events), dict[str, OutcomeRecorded](), dict[bytes, bytes]()
    with TemporaryDirectory() as folder:
        catalog = Catalog(f"sqlite:///{shutil.copy(empty_catalog, folder)}")
        handler = make_recorder(catalog, rules, last)
        while pending:
            batch = pending[: random_source.randint(1, 4)]
            crashes = random_source.random() < 0.3
            for record in await record_batch(handler, batch, delivered=not crashes):
                log[parse_outcome(record).prediction_id] = parse_outcome(record)
            if not crashes:
                pending = pending[len(batch) :]
            elif random_source.random() < 0.5:
                last.clear()
                handler = make_recorder(catalog, rules, last)
        catalog.close()
    expected = {
        prediction_id_of(request): build_outcome(
            SumTask(),
            rules,
            PredictionHistory(
                make_served_prediction(request),
                tuple(feedback[request]),
                tuple(event.retraction for event in retractions[request]),
            ),
            NOW,
        )
        for request in feedback
    }
    assert log == {key: value for key, value in expected.items() if value is not None}


async def test_a_missing_reward_times_out_until_its_outcome_is_in_the_catalog(catalog: Catalog) -> None:
    settings = Settings(tasks={TASK: ""}, task_settings={TASK: WINDOW})
    await record_batch(
        make_recorder(catalog, WINDOW),
        joins(make_served_prediction("1"), make_served_prediction("2"), make_feedback(1, request="2", reward=1.0)),
    )
    timeouts = RewardTimeouts(settings, catalog, lambda: NOW)
    assert list(timeouts.tasks) == [TASK]
    due = timeouts.due(TASK)
    assert build_reward_timeout(TASK, prediction_id_of("1")) in due
    [record] = await record_batch(
        make_recorder(catalog, WINDOW), [consumed_record(build_reward_timeout(TASK, prediction_id_of("1")))]
    )
    assert (parse_outcome(record).reward, parse_outcome(record).reward_defaulted) == (0.0, True)
    catalog.project([consumed_record(record)])
    assert build_reward_timeout(TASK, prediction_id_of("1")) not in timeouts.due(TASK)


@pytest.mark.parametrize(("age", "due"), [(timedelta(minutes=9), False), (timedelta(minutes=11), True)], ids=str)
async def test_a_reward_times_out_when_its_window_has_ended(catalog: Catalog, age: timedelta, due: bool) -> None:
    def clock() -> datetime:
        return minutes_after_start(0) + age

    await record_batch(make_recorder(catalog, WINDOW), joins(make_served_prediction()))
    timeouts = RewardTimeouts(Settings(tasks={TASK: ""}, task_settings={TASK: WINDOW}), catalog, clock)
    assert bool(timeouts.due(TASK)) is due


def test_a_task_without_a_reward_window_has_no_timeouts(catalog: Catalog) -> None:
    assert not RewardTimeouts(Settings(tasks={TASK: ""}), catalog).tasks


def test_the_same_outcome_has_the_same_id_at_any_time() -> None:
    outcomes = [
        build_outcome(
            SumTask(), RULES, PredictionHistory(make_served_prediction(), (CORRECTION,)), minutes_after_start(minutes)
        )
        for minutes in (5, 500)
    ]
    assert len({outcome_id(outcome) for outcome in outcomes if outcome is not None}) == 1
