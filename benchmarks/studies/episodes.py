"""Play a game through the running platform and learn it from the log: `python -m benchmarks.studies.episodes`.

Each round plays many episodes at once, as an application would: a request for each step, the move that comes back, its
reward as feedback. Then the whole log is replayed to a dataset, the next version is trained on that, and the platform
serves it. The first version moves at random. Each move is drawn by the policy, so that a round's mean return is that of
the policy as it explores.
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
from benchmarks.studies.decisions import RESULTS, markdown, mean_and_half_width
from models.decision.schema import Schema
from models.decision.training.network import untrained
from models.training import train
from models.training_command import write

TASK = "game"
TASK_SOURCE = '''"""A game: decisions with a schema, and so with models, of their own."""

from pathlib import Path
from typing import Any

from models.decision import Decision


class Game(Decision):
    """Says which move to make."""

    name = "game"

    def __init__(self, **options: Any) -> None:
        super().__init__(schema=str(Path(__file__).with_name("schema.json")), **options)
'''


@dataclass(frozen=True)
class Game:
    """An environment of gymnasium: its moves in their order, and how requests say what is observed."""

    name: str
    moves: tuple[str, ...]
    features: dict[str, Any]
    context: Callable[[Any], dict[str, Any]]
    max_steps: int
    """The longest episode."""
    gamma: float
    options: dict[str, Any]

    @property
    def schema(self) -> dict[str, Any]:
        """The schema of its requests."""
        return {"context": self.features, "actions": {"move": list(self.moves)}}

    @property
    def actions(self) -> list[dict[str, str]]:
        """The actions of each request."""
        return [{"id": move, "move": move} for move in self.moves]


POLE_FEATURES = ("position", "velocity", "angle", "turning")
GAMES = {
    "CartPole-v1": Game(
        "CartPole-v1",
        ("left", "right"),
        dict.fromkeys(POLE_FEATURES, "numeric"),
        lambda seen: dict(zip(POLE_FEATURES, map(float, seen), strict=True)),
        max_steps=100,
        gamma=0.99,
        options={},
    ),
    "FrozenLake-v1": Game(
        "FrozenLake-v1",
        ("left", "down", "right", "up"),
        {"cell": [str(cell) for cell in range(16)]},
        lambda seen: {"cell": str(seen)},
        max_steps=100,
        gamma=0.97,
        options={"is_slippery": False},
    ),
}


def write_task(directory: Path, game: Game) -> dict[str, Any]:
    """The game as a task, a package in a directory on the path; the settings that it takes."""
    package = directory / TASK
    package.mkdir()
    sys.modules.pop(TASK, None)  # another game's, from before
    (package / "__init__.py").write_text(TASK_SOURCE)
    (package / "schema.json").write_text(json.dumps(game.schema))
    model = package / "versions" / "1" / "model.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(untrained(Schema.of(game.schema)).to_onnx().SerializeToString())
    return {"tasks": {TASK: f"{TASK}:Game"}, "task_options": {TASK: {"gamma": game.gamma}}}


async def play_round(
    bootstrap: str, game: Game, round_: int, episodes: int, in_steps: bool = True
) -> list[list[float]]:
    """The rewards of each episode. Without steps, the platform is not told which requests belong together."""
    async with Hindsight(bootstrap, source="player") as hindsight:
        return await asyncio.gather(
            *(_play_episode(hindsight, game, round_, number, in_steps) for number in range(episodes))
        )


async def _play_episode(hindsight: Hindsight, game: Game, round_: int, number: int, in_steps: bool) -> list[float]:
    episode, rewards = f"{round_}-{number}", list[float]()
    environment = gymnasium.make(game.name, max_episode_steps=game.max_steps, **game.options)
    seen, _ = environment.reset(seed=100_000 * round_ + number)
    for step in count():
        request: dict[str, Any] = {"context": game.context(seen), "actions": game.actions}
        if in_steps:
            request |= {"episode_id": episode, "step": step}
        payload, unique = json.dumps(request).encode(), f"{episode}-{step}"
        made = await hindsight.predict(TASK, payload, 120, request_id=unique, key=episode)
        seen, reward, terminated, truncated, _ = environment.step(game.moves.index(made.output["action"]))
        await hindsight.feedback(made.prediction_id, reward=float(reward), actor="player")
        rewards.append(float(reward))
        if terminated or truncated:
            break
    return rewards


def train_version(settings: Settings, directory: Path, version: int) -> dict[str, Any]:
    """Makes a version of the game's task from all that the log says; its card."""
    dataset = directory / f"dataset-{version}"
    replay.replay(settings, ReplayQuery.from_options(settings, TASK), dataset)
    trained = train(load_tasks(settings)[TASK], dataset, None, 0, lambda doing, step, steps: None)
    write(trained, directory / TASK / "versions" / str(version), "python -m benchmarks.studies.episodes")
    return trained.card


@dataclass(frozen=True)
class RoundResult:
    """What was earned in a round, and what the log had said of its version beforehand (discounted, as its card has)."""

    rewards: list[list[float]]
    beforehand: dict[str, Any]

    @property
    def decisions(self) -> int:
        """How many moves were made."""
        return sum(map(len, self.rewards))

    def returns(self, gamma: float = 1.0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The sum of each episode's rewards, discounted by gamma."""
        return np.array([np.array(own) @ gamma ** np.arange(len(own)) for own in self.rewards])


def rounds_section(game: Game, rounds: Sequence[RoundResult], in_steps: bool = True) -> TableSection:
    """The rounds as a table."""
    rows = []
    for number, one in enumerate(rounds, 1):
        served, discounted = mean_and_half_width(one.returns()), mean_and_half_width(one.returns(game.gamma))
        told = "{:.2f} ({:.2f} to {:.2f})".format(*one.beforehand["doubly_robust"]) if one.beforehand else ""
        worth = f"{one.beforehand['effective_episodes']:.1f}" if one.beforehand else ""
        shares = [f"{mean:.2f} ± {reach:.2f}" for mean, reach in (served, discounted)]
        rows.append((str(number), str(one.decisions), *shares, told, worth))
    columns = (
        "version",
        "decisions",
        "mean return",
        "discounted",
        "the log's estimate of that",
        "from as many episodes",
    )
    notes = [f"{len(rounds[0].rewards)} episodes a round, of at most {game.max_steps} steps; 95 % intervals."]
    title = f"{game.name}, played through Kafka{'' if in_steps else ', its steps sent as decisions without an episode'}"
    return TableSection(title, columns, rows, notes)


async def run_rounds(
    game: Game, rounds: int, episodes: int, in_steps: bool, on_doing: Callable[[str], None]
) -> list[RoundResult]:
    """All rounds, on a platform of its own that is gone afterwards."""
    played: list[RoundResult] = []
    with tempfile.TemporaryDirectory(prefix="hindsight-episodes-") as scratch:
        directory = Path(scratch)
        sys.path.insert(0, scratch)
        os.environ["PYTHONPATH"] = scratch
        # The archive gives way to the players, and may be behind when the next round begins: replay reads Kafka, too.
        own = write_task(directory, game) | {"ready_max_lag": 1_000_000}
        settings = benchmark_settings(directory / "home").model_copy(update=own)
        said: dict[str, Any] = {}
        for version in range(1, rounds + 1):
            on_doing(f"starting the platform with version {version}")
            async with run_platform(settings):
                on_doing(f"version {version} plays")
                played.append(
                    RoundResult(await play_round(settings.bootstrap, game, version, episodes, in_steps), said)
                )
                if version < rounds:
                    on_doing(f"replaying the log, training version {version + 1}")
                    card = await asyncio.to_thread(train_version, settings, directory, version + 1)
                    said = card.get("episodes", {}).get("validation", {})
    return played


def main(
    game: Annotated[Literal["CartPole-v1", "FrozenLake-v1"], typer.Option(help="What is played.")] = "CartPole-v1",
    rounds: Annotated[int, typer.Option(min=1, help="Versions that play, the first at random.")] = 4,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes of each round, all at once.")] = 200,
    steps: Annotated[bool, typer.Option(help="Whether requests say of which episode they are.")] = True,
) -> None:
    """Play, learn, print the table and save it with every reward in benchmarks/results."""
    console = Console(stderr=True)
    with Progress(TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("", total=None)
        played = asyncio.run(
            run_rounds(GAMES[game], rounds, episodes, steps, lambda doing: progress.update(bar, description=doing))
        )
    table = markdown(rounds_section(GAMES[game], played, steps))
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"episodes-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    path.with_suffix(".md").write_text(table)
    said = {"game": game, "episodes": episodes, "steps": steps, "rounds": list(map(asdict, played))}
    path.with_suffix(".json").write_text(json.dumps(said) + "\n")
    Console(soft_wrap=True, highlight=False).print(table, markup=False)
    console.print(f"Saved: {path}.md and .json", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
