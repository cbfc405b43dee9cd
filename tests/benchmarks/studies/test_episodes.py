"""The games: each is a task that can be served before anything is learnt, and its table says what was played."""

import json
from pathlib import Path

import gymnasium
import pytest

from app.registry.shipped import shipped_champion
from app.settings import Settings
from app.tasks import load_tasks
from benchmarks.studies.decisions import markdown
from benchmarks.studies.episodes import GAMES, TASK, Game, RoundResult, rounds_section, write_task

LAKE = GAMES["FrozenLake-v1"]
SAID = {"doubly_robust": [0.8, 0.7, 0.9], "effective_episodes": 2.5}


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_what_is_observed_and_can_be_done_is_in_the_schema(
    game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    task = load_tasks(Settings(**write_task(tmp_path, game)))[TASK]
    assert shipped_champion(task).version == "1"
    environment = gymnasium.make(game.name, **game.options)
    assert isinstance(environment.action_space, gymnasium.spaces.Discrete)
    assert environment.action_space.n == len(game.moves)
    seen, _ = environment.reset(seed=0)
    for move in range(len(game.moves)):
        task.preprocess(json.dumps({"context": game.context(seen), "actions": game.actions}).encode())
        seen, *_ = environment.step(move)


def test_a_return_is_the_discounted_sum_of_an_episode_s_rewards() -> None:
    one = RoundResult([[0.0, 0.0, 1.0], [0.5]], {})
    assert one.decisions == 4
    assert one.returns().tolist() == [1.0, 0.5]
    assert one.returns(0.5).tolist() == [0.25, 0.5]


def test_a_table_has_a_row_for_each_round_and_what_the_log_had_said_of_it() -> None:
    rounds = [RoundResult([[0.0], [1.0]], {}), RoundResult([[1.0], [1.0]], SAID)]
    text = markdown(rounds_section(LAKE, rounds))
    assert "| 1 | 2 | 0.50 ±" in text
    assert "| 2 | 2 | 1.00 ± 0.00 | 1.00 ± 0.00 | 0.80 (0.70 to 0.90) | 2.5 |" in text
    assert "without an episode" in markdown(rounds_section(LAKE, rounds, in_steps=False))
