"""Each game is a task that can be served before anything is learned, and its table shows what was played."""

import json
from pathlib import Path

import gymnasium
import pytest

from app.registry.shipped import shipped_champion
from app.settings import Settings
from app.tasks import load_tasks
from benchmarks.studies.episodes import GAMES, TASK, Game, RoundResult, rounds_section, write_task
from benchmarks.studies.summary import markdown

LAKE = GAMES["FrozenLake-v1"]
ESTIMATE = {"doubly_robust": [0.8, 0.7, 0.9], "effective_episodes": 2.5}


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_the_schema_of_a_game_has_its_observations_and_moves(
    game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    task = load_tasks(Settings(**write_task(tmp_path, game)))[TASK]
    assert shipped_champion(task).version == "1"
    environment = gymnasium.make(game.name, **game.options)
    assert isinstance(environment.action_space, gymnasium.spaces.Discrete)
    assert environment.action_space.n == len(game.moves)
    observation, _ = environment.reset(seed=0)
    for move in range(len(game.moves)):
        task.preprocess(json.dumps({"context": game.context(observation), "actions": game.actions}).encode())
        observation, *_ = environment.step(move)


def test_a_return_is_the_discounted_sum_of_the_rewards_of_an_episode() -> None:
    result = RoundResult([[0.0, 0.0, 1.0], [0.5]], {})
    assert result.decisions == 4
    assert result.returns().tolist() == [1.0, 0.5]
    assert result.returns(0.5).tolist() == [0.25, 0.5]


def test_the_table_of_a_game_has_a_row_for_each_round_with_the_estimate_from_the_log() -> None:
    rounds = [RoundResult([[0.0], [1.0]], {}), RoundResult([[1.0], [1.0]], ESTIMATE)]
    text = markdown(rounds_section(LAKE, rounds))
    assert "| 1 | 2 | 0.50 ±" in text
    assert "| 2 | 2 | 1.00 ± 0.00 | 1.00 ± 0.00 | 0.80 (0.70 to 0.90) | 2.5 |" in text
    assert "without an episode" in markdown(rounds_section(LAKE, rounds, in_steps=False))
