"""Play a game through the running platform and learn it from the log: `python -m benchmarks.studies.episodes`.

Each round plays many episodes at once, as an application would: it sends a request for each step, makes the move of the
prediction, and sends the reward as feedback. Then the whole log is replayed into a dataset, the next version is trained
on it, and the platform serves that version. The first version moves at random. The policy draws each move, so that the
mean return of a round is that of the policy with its exploration.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from app.client import Hindsight
from app.replay import replay
from app.replay.query import ReplayQuery
from app.settings import Settings
from app.tasks import load_tasks
from benchmarks.platform import benchmark_settings, run_platform
from benchmarks.report import TableSection
from benchmarks.studies.summary import RESULTS, markdown, mean_and_half_width
from models.decision.schema import Schema
from models.decision.training.network import untrained
from models.training import train
from models.training_command import write

TASK = "game"
TASK_SOURCE = '''"""A game: decisions with a schema and versions of their own."""

from pathlib import Path
from typing import Any

from models.decision import Decision


class Game(Decision):
    """Choose the next move."""

    name = "game"

    def __init__(self, **options: Any) -> None:
        super().__init__(schema=str(Path(__file__).with_name("schema.json")), **options)
'''


@dataclass(frozen=True)
class Game:
    """An environment of gymnasium: its moves in their order, and the context that describes an observation."""

    name: str
    moves: tuple[str, ...]
    features: dict[str, Any]
    context: Callable[[Any], dict[str, Any]]
    max_steps: int
    """The length at which an episode is truncated."""
    gamma: float
    options: dict[str, Any]

    @property
    def schema(self) -> dict[str, Any]:
        """Return the schema of its requests."""
        return {"context": self.features, "actions": {"move": list(self.moves)}}

    @property
    def actions(self) -> list[dict[str, str]]:
        """Return the actions of each request."""
        return [{"id": move, "move": move} for move in self.moves]


POLE_FEATURES = ("position", "velocity", "angle", "turning")
GAMES = {
    "CartPole-v1": Game(
        "CartPole-v1",
        ("left", "right"),
        dict.fromkeys(POLE_FEATURES, "numeric"),
        lambda observation: dict(zip(POLE_FEATURES, map(float, observation), strict=True)),
        max_steps=100,
        gamma=0.99,
        options={},
    ),
    "FrozenLake-v1": Game(
        "FrozenLake-v1",
        ("left", "down", "right", "up"),
        {"cell": [str(cell) for cell in range(16)]},
        lambda observation: {"cell": str(observation)},
        max_steps=100,
        gamma=0.97,
        options={"is_slippery": False},
    ),
}


def write_task(directory: Path, game: Game) -> dict[str, Any]:
    """Write the game as a task, a package in a directory on the path; return the settings that it needs."""
    package = directory / TASK
    package.mkdir()
    sys.modules.pop(TASK, None)  # a game that was written before
    (package / "__init__.py").write_text(TASK_SOURCE)
    (package / "schema.json").write_text(json.dumps(game.schema))
    model = package / "versions" / "1" / "model.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(untrained(Schema.of(game.schema)).to_onnx().SerializeToString())
    return {"tasks": {TASK: f"{TASK}:Game"}, "task_options": {TASK: {"gamma": game.gamma}}}


async def play_round(
    bootstrap: str, game: Game, round_: int, episodes: int, in_steps: bool = True
) -> list[list[float]]:
    """Play a round; return the rewards of each episode. Without `in_steps`, requests do not name their episode."""
    async with Hindsight(bootstrap, source="player") as hindsight:
        return await asyncio.gather(
            *(_play_episode(hindsight, game, round_, number, in_steps) for number in range(episodes))
        )


async def _play_episode(hindsight: Hindsight, game: Game, round_: int, number: int, in_steps: bool) -> list[float]:
    episode, rewards = f"{round_}-{number}", list[float]()
    environment = gymnasium.make(game.name, max_episode_steps=game.max_steps, **game.options)
    observation, _ = environment.reset(seed=100_000 * round_ + number)
    for step in count():
        request: dict[str, Any] = {"context": game.context(observation), "actions": game.actions}
        if in_steps:
            request |= {"episode_id": episode, "step": step}
        payload, request_id = json.dumps(request).encode(), f"{episode}-{step}"
        prediction = await hindsight.predict(TASK, payload, 120, request_id=request_id, key=episode)
        move = game.moves.index(prediction.output["action"])
        observation, reward, terminated, truncated, _ = environment.step(move)
        await hindsight.feedback(prediction.prediction_id, reward=float(reward), actor="player")
        rewards.append(float(reward))
        if terminated or truncated:
            break
    return rewards


def train_version(settings: Settings, directory: Path, version: int) -> dict[str, Any]:
    """Train a version of the game's task on the whole log; return its card."""
    dataset = directory / f"dataset-{version}"
    replay.replay(settings, ReplayQuery.from_options(settings, TASK), dataset)
    trained = train(load_tasks(settings)[TASK], dataset, None, 0, lambda step, done, total: None)
    write(trained, directory / TASK / "versions" / str(version), "python -m benchmarks.studies.episodes")
    return trained.card


@dataclass(frozen=True)
class RoundResult:
    """The rewards of a round, and the off-policy estimate on the card of its version (discounted)."""

    rewards: list[list[float]]
    beforehand: dict[str, Any]

    @property
    def decisions(self) -> int:
        """Return the number of moves."""
        return sum(map(len, self.rewards))

    def returns(self, gamma: float = 1.0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return the sum of each episode's rewards, discounted by gamma."""
        return np.array([np.array(rewards) @ gamma ** np.arange(len(rewards)) for rewards in self.rewards])


def rounds_section(game: Game, rounds: Sequence[RoundResult], in_steps: bool = True) -> TableSection:
    """Return the rounds as a table."""
    rows = []
    for number, result in enumerate(rounds, 1):
        means = mean_and_half_width(result.returns()), mean_and_half_width(result.returns(game.gamma))
        cells = [f"{mean:.2f} ± {half:.2f}" for mean, half in means]
        estimate = "{:.2f} ({:.2f} to {:.2f})".format(*result.beforehand["doubly_robust"]) if result.beforehand else ""
        episodes = f"{result.beforehand['effective_episodes']:.1f}" if result.beforehand else ""
        rows.append((str(number), str(result.decisions), *cells, estimate, episodes))
    columns = ("version", "decisions", "mean return", "discounted", "off-policy estimate", "effective episodes")
    notes = [f"{len(rounds[0].rewards)} episodes a round, of at most {game.max_steps} steps; 95 % intervals."]
    title = f"{game.name}, played through Kafka{'' if in_steps else ', steps sent as decisions without an episode'}"
    return TableSection(title, columns, rows, notes)


async def run_rounds(
    game: Game, rounds: int, episodes: int, in_steps: bool, on_progress: Callable[[str], None]
) -> list[RoundResult]:
    """Play all rounds, on a platform of their own that is removed at the end."""
    played: list[RoundResult] = []
    with tempfile.TemporaryDirectory(prefix="hindsight-episodes-") as scratch:
        directory = Path(scratch)
        sys.path.insert(0, scratch)
        os.environ["PYTHONPATH"] = scratch
        # The archive has low priority, and may lag when the next round begins; replay reads the rest from Kafka.
        changes = write_task(directory, game) | {"ready_max_lag": 1_000_000}
        settings = benchmark_settings(directory / "home").model_copy(update=changes)
        estimate: dict[str, Any] = {}
        for version in range(1, rounds + 1):
            on_progress(f"starting the platform with version {version}")
            async with run_platform(settings):
                on_progress(f"version {version} plays")
                rewards = await play_round(settings.bootstrap, game, version, episodes, in_steps)
                played.append(RoundResult(rewards, estimate))
                if version < rounds:
                    on_progress(f"replaying the log, training version {version + 1}")
                    card = await asyncio.to_thread(train_version, settings, directory, version + 1)
                    estimate = card.get("episodes", {}).get("validation", {})
    return played


def main(
    game: Annotated[Literal["CartPole-v1", "FrozenLake-v1"], typer.Option(help="The game.")] = "CartPole-v1",
    rounds: Annotated[int, typer.Option(min=1, help="Versions that play; the first moves at random.")] = 4,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes of each round, all at once.")] = 200,
    steps: Annotated[bool, typer.Option(help="Whether requests name their episode and step.")] = True,
) -> None:
    """Play, learn, print the table and save it with every reward in benchmarks/results."""
    console = Console(stderr=True)
    with Progress(TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("", total=None)
        played = asyncio.run(
            run_rounds(GAMES[game], rounds, episodes, steps, lambda step: progress.update(bar, description=step))
        )
    table = markdown(rounds_section(GAMES[game], played, steps))
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"episodes-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    path.with_suffix(".md").write_text(table)
    document = {"game": game, "episodes": episodes, "steps": steps, "rounds": list(map(asdict, played))}
    path.with_suffix(".json").write_text(json.dumps(document) + "\n")
    Console(soft_wrap=True, highlight=False).print(table, markup=False)
    console.print(f"Saved: {path}.md and .json", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
