"""The steps of a run, without a log."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.retraining.pipeline import steps


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
