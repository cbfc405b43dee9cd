"""The steps of a run, without a log."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.events.base import ModelRef
from app.events.lifecycle import RetrainingTriggered
from app.events.model_events import ModelEvaluated
from app.registry.runs import Candidate, Run
from app.replay.query import ReplayQuery
from app.retraining.pipeline import steps
from app.settings import Settings, TaskSettings
from tests.support.datasets import write_dataset
from tests.support.tasks import Letters


def test_a_run_that_cannot_pass_the_gate_is_refused_before_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[str, str]] = []
    work: Any = SimpleNamespace(
        task=None,
        on_step=None,
        retraining_settings=SimpleNamespace(gate=None),
        fetch_champion=lambda: None,
        ensure_dataset=lambda: None,
        end=lambda outcome, reason: ended.append((outcome, reason)),
    )  # without ensure_candidate: to train would fail
    monkeypatch.setattr(steps, "missing_evidence", lambda *_: "2 held-out outcomes are too few: 100 are needed.")
    steps.train(work)
    assert ended == [("refused", "2 held-out outcomes are too few: 100 are needed. So no candidate was trained.")]


def test_a_run_leaves_out_the_requests_whose_rewards_may_be_yet_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries: list[ReplayQuery] = []
    monkeypatch.setattr(steps, "replay", lambda settings, query, *_: queries.append(query))
    rules = TaskSettings.model_validate({"retraining": {"reward_wait_minutes": 60, "dataset_days": 1}})
    run: Any = SimpleNamespace(id="run", time=datetime(2026, 1, 31, 12, tzinfo=UTC))
    models: Any = None
    settings = Settings(home=tmp_path, task_settings={"letters": rules})
    steps.RunContext(settings, Letters(), run, models, lambda *_: None).ensure_dataset()
    [query] = queries
    until = run.time - timedelta(hours=1)
    assert (query.since, query.until, query.as_of) == (until - timedelta(days=1), until, run.time)


def test_a_candidate_that_is_the_same_as_another_is_refused(tmp_path: Path) -> None:
    """The training does not depend on its seed."""
    path, published = tmp_path / "model.onnx", list[tuple[str, Any]]()
    path.write_bytes(b"same")
    triggered = RetrainingTriggered(
        task="letters", run_id="r", trigger="manual", evidence={}, champion="1", candidates=2
    )
    run = Run("r", triggered, datetime(2026, 1, 1, tzinfo=UTC))
    run.candidates[0].evaluated = ModelEvaluated(
        task="letters", run_id="r", model=ModelRef(name="letters", version="r"), dataset="h", metrics={}, passed=True
    )
    work: Any = SimpleNamespace(
        task=Letters(),
        run=run,
        retraining_settings=SimpleNamespace(gate=None),
        ensure_dataset=lambda: write_dataset(tmp_path, [], "h"),
        ensure_candidate=lambda _: path,
        publish=lambda step, data: published.append((step, data)),
    )
    steps.evaluate(work)
    [(step, verdict)] = published
    assert (step, verdict.model.version, verdict.passed) == ("evaluate/2", "r.2", False)
    assert verdict.reasons == ("It is the same as candidate 1: the seed makes no difference to this training.",)


def test_each_candidate_has_its_own_seed() -> None:
    assert len({steps.random_seed(Candidate("r", number)) for number in range(1, 11)}) == 10
