"""The steps of a run, without a log."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.replay.query import ReplayQuery
from app.retraining.pipeline import steps
from app.settings import Settings, TaskSettings
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
