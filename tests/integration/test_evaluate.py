"""The figures of every shipped card are measured again, on the whole held-out set."""

import json

import pytest

from app.settings import Settings
from tests.support.commands import run_command


@pytest.mark.soak
@pytest.mark.parametrize("task", Settings().tasks)
async def test_the_figures_of_a_shipped_card_are_measured_again(task: str) -> None:
    done = await run_command(Settings(), "hindsight", "evaluate", task, "--json", seconds=280)
    assert done.code == 0, done.err
    assert json.loads(done.out)["samples"] > 0
