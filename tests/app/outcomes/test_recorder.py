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
    SumTask,
    as_consumed,
    consumed_record,
    feedback_lists,
    make_correction,
    make_feedback,
    make_served_prediction,
    minutes_after_start,
    prediction_id_of,
)

RULES = TaskSettings(audit_rate=0)
WINDOW = TaskSettings(audit_rate=0, reward_window_seconds=600)
NOW = minutes_after_start(60)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog without rows, to be copied: to make its tables takes longest."""
    path = tmp_path_factory.mktemp("empty") / "catalog.sqlite"
    catalog = Catalog(f"sqlite:///{path}")
    catalog.upgrade()
    catalog.close()
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    found = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    found.upgrade()
    yield found
    found.close()


@pytest.fixture
def handler(catalog: Catalog) -> OutcomeRecorder:
    return made(catalog)


def made(catalog: Catalog, rules: TaskSettings = RULES, last: dict[bytes, bytes] | None = None) -> OutcomeRecorder:
    return OutcomeRecorder(SumTask(), rules, catalog, {} if last is None else last, lambda: NOW)


def joins(*events: ServedPrediction | FeedbackEvent) -> list[ConsumedRecord]:
    """The events as they come from the repartitioned topic."""
    return [
        consumed_record(repartition(event, TASK, _about(one)), offset)
        for offset, (one, event) in enumerate(zip(events, as_consumed(events), strict=True))
    ]


def _about(event: ServedPrediction | FeedbackEvent) -> str:
    return (
        event.prediction.prediction_id if isinstance(event, ServedPrediction) else event.feedback.task_and_prediction[1]
    )


async def recorded(handler: OutcomeRecorder, batch: Sequence[ConsumedRecord], delivered: bool = True) -> list[Record]:
    """The outcomes that the batch comes to."""
    answers = await handler(batch)
    if delivered:
        handler.on_delivered(batch, answers)
    return [record for answer in answers if isinstance(answer, Sequence) for record in answer]


def outcome(record: Record) -> OutcomeRecorded:
    return OutcomeRecorded.model_validate_json(record.value or b"")


CORRECTION = make_feedback(1, **make_correction(2))


@pytest.mark.parametrize(
    "events", [(make_served_prediction(), CORRECTION), (CORRECTION, make_served_prediction())], ids=["late", "first"]
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_prediction_is_joined_with_its_feedback_whichever_comes_first(
    handler: OutcomeRecorder, events: tuple[ServedPrediction | FeedbackEvent, ...], together: bool
) -> None:
    batches = [joins(*events)] if together else [[event] for event in joins(*events)]
    [record] = [record for batch in batches for record in await recorded(handler, batch)]
    assert outcome(record) == build_outcome(
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
    assert await recorded(handler, joins(CORRECTION)) == []


async def test_what_is_published_is_not_published_again(handler: OutcomeRecorder) -> None:
    assert len(await recorded(handler, joins(make_served_prediction(), CORRECTION))) == 1
    assert await recorded(handler, joins(CORRECTION)) == []


async def test_what_was_not_delivered_is_published_again_under_its_id(handler: OutcomeRecorder) -> None:
    batch = joins(make_served_prediction(), CORRECTION)
    [lost] = await recorded(handler, batch, delivered=False)
    await recorded(handler, joins(make_served_prediction("2")))
    [again] = await recorded(handler, batch)
    assert header_text(lost.headers, "ce_id") == header_text(again.headers, "ce_id")


async def test_an_outcome_that_changes_is_published_again(handler: OutcomeRecorder) -> None:
    await recorded(handler, joins(make_served_prediction(), CORRECTION))
    [record] = await recorded(handler, joins(make_feedback(2, **make_correction(3))))
    assert (outcome(record).label, outcome(record).feedback) == ({"sum": 3.0}, 2)


async def test_one_bad_record_is_rejected_alone(handler: OutcomeRecorder) -> None:
    good = joins(make_served_prediction(), CORRECTION)
    bad = [
        consumed_record(Record("letters.joins", key, b"", ()))
        for key in (None, b"\xff", b"ocr:1", prediction_id_of().encode())
    ]
    answers = await handler([*bad, *good])
    assert [answer.code for answer in answers[:4] if isinstance(answer, Rejected)] == ["bad_join"] * 4
    assert outcome(next(iter(answers[5]))).label == {"sum": 2.0}  # type: ignore[arg-type]


async def test_a_database_that_is_away_is_waited_for(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(ids: Collection[str]) -> dict[str, PredictionHistory]:
        raise Unavailable("the database is away")

    monkeypatch.setattr(catalog, "prediction_histories", away)
    with pytest.raises(Unavailable):
        await made(catalog)(joins(make_served_prediction()))


@hypothesis_settings(max_examples=30)
@given(
    feedback_lists("1"),
    feedback_lists("2"),
    st.sampled_from([RULES, TaskSettings(audit_rate=1), WINDOW]),
    st.integers(0),
)
async def test_however_events_are_delivered_and_whatever_is_lost_the_outcomes_are_the_same(
    empty: Path, one: list[FeedbackEvent], two: list[FeedbackEvent], rules: TaskSettings, seed: int
) -> None:
    """Out of order, twice, in batches of any size, some of which end in a crash; a crash loses the cache."""
    events: list[ServedPrediction | FeedbackEvent] = [
        make_served_prediction("1"),
        make_served_prediction("2"),
        *one,
        *two,
    ]
    chance = random.Random(seed)
    chance.shuffle(events)
    rest, log, last = joins(*events), dict[str, OutcomeRecorded](), dict[bytes, bytes]()
    with TemporaryDirectory() as folder:
        catalog = Catalog(f"sqlite:///{shutil.copy(empty, folder)}")
        handler = made(catalog, rules, last)
        while rest:
            batch = rest[: chance.randint(1, 4)]
            crashes = chance.random() < 0.3
            for record in await recorded(handler, batch, delivered=not crashes):
                log[outcome(record).prediction_id] = outcome(record)
            if not crashes:
                rest = rest[len(batch) :]
            elif chance.random() < 0.5:
                last.clear()
                handler = made(catalog, rules, last)
        catalog.close()
    expected = {
        prediction_id_of(request): build_outcome(
            SumTask(), rules, PredictionHistory(make_served_prediction(request), tuple(said)), NOW
        )
        for request, said in (("1", one), ("2", two))
    }
    assert log == {key: value for key, value in expected.items() if value is not None}


async def test_a_reward_that_never_comes_is_remembered_until_its_outcome_is_known(catalog: Catalog) -> None:
    config = Settings(tasks={TASK: ""}, task_settings={TASK: WINDOW})
    await recorded(
        made(catalog, WINDOW),
        joins(make_served_prediction("1"), make_served_prediction("2"), make_feedback(1, request="2", reward=1.0)),
    )
    reminders = RewardTimeouts(config, catalog, lambda: NOW)
    assert list(reminders.tasks) == [TASK]
    due = reminders.due(TASK)
    assert build_reward_timeout(TASK, prediction_id_of("1")) in due
    [record] = await recorded(
        made(catalog, WINDOW), [consumed_record(build_reward_timeout(TASK, prediction_id_of("1")))]
    )
    assert (outcome(record).reward, outcome(record).reward_defaulted) == (0.0, True)
    catalog.project([consumed_record(record)])
    assert build_reward_timeout(TASK, prediction_id_of("1")) not in reminders.due(TASK)


@pytest.mark.parametrize(("age", "due"), [(timedelta(minutes=9), False), (timedelta(minutes=11), True)], ids=str)
async def test_a_reward_is_due_when_its_window_has_ended(catalog: Catalog, age: timedelta, due: bool) -> None:
    def clock() -> datetime:
        return minutes_after_start(0) + age

    await recorded(made(catalog, WINDOW), joins(make_served_prediction()))
    reminders = RewardTimeouts(Settings(tasks={TASK: ""}, task_settings={TASK: WINDOW}), catalog, clock)
    assert bool(reminders.due(TASK)) is due


def test_a_task_without_a_window_has_no_reminders(catalog: Catalog) -> None:
    assert not RewardTimeouts(Settings(tasks={TASK: ""}), catalog).tasks


def test_the_same_outcome_has_the_same_id_wherever_it_is_judged() -> None:
    found = [
        build_outcome(
            SumTask(), RULES, PredictionHistory(make_served_prediction(), (CORRECTION,)), minutes_after_start(minutes)
        )
        for minutes in (5, 500)
    ]
    assert len({outcome_id(one) for one in found if one is not None}) == 1
