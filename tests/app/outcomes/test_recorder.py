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
from app.events.cloudevents import Incoming, Record, header
from app.events.types import OutcomeRecorded
from app.outcomes.label_aggregation import judge, outcome_id
from app.outcomes.prediction_history import Joined, Said, Served
from app.outcomes.recorder import OutcomesHandler, Reminders
from app.outcomes.repartition import reminder, repartitioned
from app.settings import Settings, TaskSettings
from models.base import Rejected
from tests.support.fake_inference import TASK
from tests.support.sum_task import Sums, at, feedback, incoming, label, said, served, unique, with_places

RULES = TaskSettings(audit_rate=0)
WINDOW = TaskSettings(audit_rate=0, reward_window_seconds=600)
NOW = at(60)


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
def handler(catalog: Catalog) -> OutcomesHandler:
    return made(catalog)


def made(catalog: Catalog, rules: TaskSettings = RULES, last: dict[bytes, bytes] | None = None) -> OutcomesHandler:
    return OutcomesHandler(Sums(), rules, catalog, {} if last is None else last, lambda: NOW)


def joins(*events: Served | Said) -> list[Incoming]:
    """The events as they come from the repartitioned topic."""
    return [
        incoming(repartitioned(event, TASK, _about(one)), offset)
        for offset, (one, event) in enumerate(zip(events, with_places(events), strict=True))
    ]


def _about(event: Served | Said) -> str:
    return event.made.prediction_id if isinstance(event, Served) else event.given.about[1]


async def recorded(handler: OutcomesHandler, batch: Sequence[Incoming], delivered: bool = True) -> list[Record]:
    """The outcomes that the batch comes to."""
    answers = await handler(batch)
    if delivered:
        handler.delivered(batch, answers)
    return [record for answer in answers if isinstance(answer, Sequence) for record in answer]


def outcome(record: Record) -> OutcomeRecorded:
    return OutcomeRecorded.model_validate_json(record.value or b"")


CORRECTION = said(1, **label(2))


@pytest.mark.parametrize("events", [(served(), CORRECTION), (CORRECTION, served())], ids=["late", "first"])
@pytest.mark.parametrize("together", [True, False])
async def test_a_prediction_is_joined_with_its_feedback_whichever_comes_first(
    handler: OutcomesHandler, events: tuple[Served | Said, ...], together: bool
) -> None:
    batches = [joins(*events)] if together else [[event] for event in joins(*events)]
    [record] = [record for batch in batches for record in await recorded(handler, batch)]
    assert outcome(record) == judge(Sums(), RULES, Joined(served(), (CORRECTION,)), NOW)


async def test_the_last_event_of_a_prediction_in_a_batch_is_answered_with_its_outcome(handler: OutcomesHandler) -> None:
    batch = joins(served("1"), served("2"), said(1, request="1", **label(2)), said(1, request="2", **label(3)))
    answers = await handler([*batch[:3], batch[3], batch[1]])
    assert [len(answer) if isinstance(answer, Sequence) else None for answer in answers] == [0, 0, 1, 0, 1]


async def test_feedback_of_an_unknown_prediction_has_no_outcome_yet(handler: OutcomesHandler) -> None:
    assert await recorded(handler, joins(CORRECTION)) == []


async def test_what_is_published_is_not_published_again(handler: OutcomesHandler) -> None:
    assert len(await recorded(handler, joins(served(), CORRECTION))) == 1
    assert await recorded(handler, joins(CORRECTION)) == []


async def test_what_was_not_delivered_is_published_again_under_its_id(handler: OutcomesHandler) -> None:
    batch = joins(served(), CORRECTION)
    [lost] = await recorded(handler, batch, delivered=False)
    await recorded(handler, joins(served("2")))
    [again] = await recorded(handler, batch)
    assert header(lost.headers, "ce_id") == header(again.headers, "ce_id")


async def test_an_outcome_that_changes_is_published_again(handler: OutcomesHandler) -> None:
    await recorded(handler, joins(served(), CORRECTION))
    [record] = await recorded(handler, joins(said(2, **label(3))))
    assert (outcome(record).label, outcome(record).feedback) == ({"sum": 3.0}, 2)


async def test_one_bad_record_is_rejected_alone(handler: OutcomesHandler) -> None:
    good = joins(served(), CORRECTION)
    bad = [incoming(Record("letters.joins", key, b"", ())) for key in (None, b"\xff", b"ocr:1", unique().encode())]
    answers = await handler([*bad, *good])
    assert [answer.code for answer in answers[:4] if isinstance(answer, Rejected)] == ["bad_join"] * 4
    assert outcome(next(iter(answers[5]))).label == {"sum": 2.0}  # type: ignore[arg-type]


async def test_a_database_that_is_away_is_waited_for(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(ids: Collection[str]) -> dict[str, Joined]:
        raise Unavailable("the database is away")

    monkeypatch.setattr(catalog, "prediction_histories", away)
    with pytest.raises(Unavailable):
        await made(catalog)(joins(served()))


@hypothesis_settings(max_examples=30)
@given(feedback("1"), feedback("2"), st.sampled_from([RULES, TaskSettings(audit_rate=1), WINDOW]), st.integers(0))
async def test_however_events_are_delivered_and_whatever_is_lost_the_outcomes_are_the_same(
    empty: Path, one: list[Said], two: list[Said], rules: TaskSettings, seed: int
) -> None:
    """Out of order, twice, in batches of any size, some of which end in a crash; a crash loses the cache."""
    events: list[Served | Said] = [served("1"), served("2"), *one, *two]
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
        unique(request): judge(Sums(), rules, Joined(served(request), tuple(said)), NOW)
        for request, said in (("1", one), ("2", two))
    }
    assert log == {key: value for key, value in expected.items() if value is not None}


async def test_a_reward_that_never_comes_is_remembered_until_its_outcome_is_known(catalog: Catalog) -> None:
    config = Settings(tasks={TASK: ""}, task_settings={TASK: WINDOW})
    await recorded(made(catalog, WINDOW), joins(served("1"), served("2"), said(1, request="2", reward=1.0)))
    reminders = Reminders(config, catalog, lambda: NOW)
    assert list(reminders.tasks) == [TASK]
    due = reminders.due(TASK)
    assert reminder(TASK, unique("1")) in due
    [record] = await recorded(made(catalog, WINDOW), [incoming(reminder(TASK, unique("1")))])
    assert (outcome(record).reward, outcome(record).reward_defaulted) == (0.0, True)
    catalog.project([incoming(record)])
    assert reminder(TASK, unique("1")) not in reminders.due(TASK)


@pytest.mark.parametrize(("age", "due"), [(timedelta(minutes=9), False), (timedelta(minutes=11), True)], ids=str)
async def test_a_reward_is_due_when_its_window_has_ended(catalog: Catalog, age: timedelta, due: bool) -> None:
    def clock() -> datetime:
        return at(0) + age

    await recorded(made(catalog, WINDOW), joins(served()))
    reminders = Reminders(Settings(tasks={TASK: ""}, task_settings={TASK: WINDOW}), catalog, clock)
    assert bool(reminders.due(TASK)) is due


def test_a_task_without_a_window_has_no_reminders(catalog: Catalog) -> None:
    assert not Reminders(Settings(tasks={TASK: ""}), catalog).tasks


def test_the_same_outcome_has_the_same_id_wherever_it_is_judged() -> None:
    found = [judge(Sums(), RULES, Joined(served(), (CORRECTION,)), at(minutes)) for minutes in (5, 500)]
    assert len({outcome_id(one) for one in found if one is not None}) == 1
