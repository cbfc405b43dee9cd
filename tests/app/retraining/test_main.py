"""The steps that `python -m app.retraining` runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import SetupError
from app.retraining import __main__ as command
from app.retraining.pipeline.steps import STEPS
from models.base import Untrainable

ORDER = list(STEPS)


@dataclass
class FakeSteps:
    """A run in the log: its next step and the gate's verdict."""

    step: str | None = "dataset"
    passed: bool | None = None
    done: list[str] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)
    has_given_way: bool = False

    def work(self, *_: object) -> Any:
        refusal = "worse" if self.passed is False else None
        return SimpleNamespace(run=SimpleNamespace(step=self.step, refusal=refusal), end=self.end)

    def end(self, outcome: str, reason: str) -> None:
        self.ended.append((outcome, reason))
        self.step = None

    def give_way(self) -> None:
        self.has_given_way = True

    def doing(self, step: str) -> Callable[[Any], None]:
        def do(_: Any) -> None:
            self.done.append(step)
            if step == "evaluate" and self.passed is None:
                self.passed = True
            self.step = [*ORDER, "rollout"][ORDER.index(step) + 1]

        return do


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> FakeSteps:
    found = FakeSteps()
    monkeypatch.setattr(command, "load_run", found.work)
    monkeypatch.setattr(command, "STEPS", {step: found.doing(step) for step in ORDER})
    monkeypatch.setattr(command, "load_task", lambda *_: None)
    monkeypatch.setattr(command, "lower_priority", found.give_way)
    monkeypatch.setattr(command, "limit_memory", lambda *_: None)
    return found


def test_without_the_step_option_all_remaining_steps_run(log: FakeSteps) -> None:
    log.step = "train"
    command.main("scales", "r")
    assert log.done == ORDER[1:]
    assert log.has_given_way


def test_the_step_option_runs_that_step_only(log: FakeSteps) -> None:
    for step in ORDER:
        command.main("scales", "r", step)
    assert log.done == ORDER


@pytest.mark.parametrize("step", [None, "register", "rollout"])
def test_a_step_does_nothing_if_the_run_is_past_it_or_has_ended(log: FakeSteps, step: str | None) -> None:
    log.step = step
    command.main("scales", "r", "train")
    assert (log.done, log.ended) == ([], [])


def test_a_step_before_its_turn_is_refused(log: FakeSteps) -> None:
    with pytest.raises(SetupError, match="at its step dataset, not yet at train"):
        command.main("scales", "r", "train")
    assert (log.done, log.ended) == ([], [])


def test_the_next_step_refuses_a_candidate_that_did_not_pass(log: FakeSteps) -> None:
    log.step, log.passed = "register", False
    command.main("scales", "r", "evaluate")
    assert log.ended == []
    command.main("scales", "r", "register")
    assert (log.done, log.ended) == ([], [("refused", "worse")])


def test_a_permanent_error_ends_the_run_and_not_the_command(log: FakeSteps, monkeypatch: pytest.MonkeyPatch) -> None:
    def untrainable(_: Any) -> None:
        raise Untrainable("there are no labels")

    log.step = "train"
    monkeypatch.setattr(command, "STEPS", {**STEPS, "train": untrainable})
    command.main("scales", "r", "train")
    assert log.ended == [("failed", "train: there are no labels")]


def test_an_unknown_step_option_is_refused() -> None:
    assert vars(command.parse_arguments(["--step", "train", "--", "scales", "-r"])) == {
        "task": "scales",
        "run_id": "-r",
        "step": "train",
    }
    with pytest.raises(SystemExit):
        command.parse_arguments(["scales", "r", "--step", "rollout"])
