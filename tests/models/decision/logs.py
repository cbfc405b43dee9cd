"""Logs of decisions for tests: two kinds of visitors, three actions, each right for one kind or for none.

In `episodes` the kinds are two rooms: in room x, a earns a little at once and b leads on to room y, where b earns all.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.replay import dataset
from models import tensors
from models.decision import Decision

SCHEMA = {"context": {"kind": ["x", "y"]}, "actions": {"name": ["a", "b", "c"]}}
RIGHT = {"x": "a", "y": "b"}
LOGGING = np.array([0.2, 0.2, 0.6])
"""The logging policy likes what is never right."""
EARNED = {"a": 0.3, "bb": 1.0}
"""By what was chosen in an episode so far. As the logging policy goes on, b in room x is worth 0.2, less than a."""


def task(directory: Path, **options: Any) -> Decision:
    path = directory / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    return Decision(schema=str(path), **options)


def payload(kind: str, **more: Any) -> bytes:
    actions = [{"id": name, "name": name} for name in "abc"]
    return json.dumps({"context": {"kind": kind}, "actions": actions, **more}).encode()


def rows(task: Decision, count: int, seed: int, told: str = "reward") -> list[dict[str, Any]]:
    """Decisions with a noisy `reward`, or with a `label`: every tenth for validation, every tenth for test."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        kind = "xy"[int(rng.integers(2))]
        place = int(rng.choice(3, p=LOGGING))
        right = "abc"[place] == RIGHT[kind]
        row = _row(task, number, payload(kind), place)
        if told == "label":
            row["label"] = json.dumps({"action": RIGHT[kind]})
        else:
            row["reward"] = float(rng.random() < (0.8 if right else 0.2))
        made.append(row)
    return made


def masked(task: Decision, count: int, seed: int) -> list[dict[str, Any]]:
    """Decisions with a noisy reward, half of them in requests that forbid what is right."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        kind = "xy"[int(rng.integers(2))]
        forbidden = [RIGHT[kind]] if rng.random() < 0.5 else []
        policy = LOGGING * [name not in forbidden for name in "abc"]
        policy /= policy.sum()
        place = int(rng.choice(3, p=policy))
        row = _row(task, number, payload(kind, forbidden=forbidden), place)
        reward = float(rng.random() < (0.8 if "abc"[place] == RIGHT[kind] else 0.2))
        made.append({**row, "propensity": float(policy[place]), "reward": reward})
    return made


def slates(task: Decision, count: int, seed: int) -> list[dict[str, Any]]:
    """Slates of two of the three actions. The second earns half as much, and a quarter after what is right."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        kind = "xy"[int(rng.integers(2))]
        first, second = rng.choice(3, 2, replace=False, p=LOGGING).tolist()
        propensities = [float(LOGGING[first]), float(LOGGING[second] / (1 - LOGGING[first]))]
        right = ["abc"[place] == RIGHT[kind] for place in (first, second)]
        chances = [0.8 if right[0] else 0.2, (0.8 if right[1] else 0.2) * (0.25 if right[0] else 0.5)]
        rewards = (rng.random(2) < chances).astype(float).tolist()
        row = _row(task, number, payload(kind, positions=2), first)
        output = {"action": "abc"[first], "slate": ["abc"[first], "abc"[second]], "propensities": propensities}
        row |= {"output": json.dumps(output), "propensity": propensities[0] * propensities[1]}
        made.append({**row, "reward": min(1.0, sum(rewards)), "position_rewards": json.dumps(rewards)})
    return made


def episodes(task: Decision, count: int, seed: int, in_steps: bool = True) -> list[dict[str, Any]]:
    """Decisions of episodes, each in one split, or the very same decisions as if there were none."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        chosen = []
        for step, room in enumerate("xy"):
            place = int(rng.choice(3, p=LOGGING))
            where = {"episode_id": f"walk-{number}", "step": step} if in_steps else {}
            row = _row(task, number, payload(room, **where), place)
            chosen.append("abc"[place])
            reward = EARNED.get("".join(chosen), 0.0)
            made.append({**row, "prediction_id": f"{row['prediction_id']}-{step}", "reward": reward})
            if chosen != ["b"]:
                break
    return made


def _row(task: Decision, number: int, payload: bytes, place: int) -> dict[str, Any]:
    data, declaration = tensors.encode(task.preprocess(payload))
    return {
        "prediction_id": f"decision:{number}",
        "request_source": "shop",
        "split": {8: "validation", 9: "test"}.get(number % 10, "train"),
        "features": data,
        "tensors": declaration,
        "output": json.dumps({"action": "abc"[place], "probabilities": {}}),
        "propensity": float(LOGGING[place]),
    }


def write(rows: Iterable[dict[str, Any]], out: Path) -> Path:
    """A dataset as `hindsight replay` writes it."""
    out.mkdir()
    with dataset.DatasetWriter(out / dataset.ROWS_FILE) as writer:
        writer.write(pa.RecordBatch.from_pylist(list(rows), dataset.SCHEMA))
    return out
