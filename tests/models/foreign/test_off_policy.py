"""Versions of a foreign bandit, valued by the rewards of the actions that were drawn."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from models import tensors
from models.base import Asked
from models.foreign.bandit import Bandit
from models.foreign.numbers import FromNumbers
from models.foreign.runtime import RUNTIME
from models.manifest import Manifest, listed
from models.runtimes import open_version
from models.training import evaluate_off_policy
from tests.support import foreign_models
from tests.support.datasets import START, write_dataset
from tests.support.foreign_models import save

ROWS = 400


class Offers(FromNumbers, Bandit):
    """Two actions; the model takes the column of the greater number."""

    name: ClassVar[str] = "offers"
    preprocess_version: ClassVar[str] = "1"
    columns: ClassVar = ("small", "large")

    @classmethod
    def class_names(cls) -> tuple[str, ...]:
        return ("small", "large")


def version(folder: Path) -> Path:
    model = save(foreign_models.linear(2, 2), folder / "model.onnx")
    options: Any = {
        "input": {"kind": "numbers", "names": ["features"], "columns": ["small", "large"]},
        "head": {"kind": "bandit", "values": "values"},
    }
    manifest = Manifest(runtime=RUNTIME, files=listed({"model.onnx": model.read_bytes()}), options=options)
    (folder / "manifest.json").write_bytes(manifest.content())
    return folder / "manifest.json"


def row(task: Offers, values: Any, number: int) -> dict[str, Any]:
    """Return a request that was served; the offer `large` earns 1, the other nothing."""
    features = {"numbers": np.array([0.1, 0.2])}
    data, declaration = tensors.encode(features)
    [made] = task.decode({"values": values}, [Asked(f"offers:{number}", features)])
    return {
        "prediction_id": f"offers:{number}",
        "time": START + timedelta(seconds=number),
        "features": data,
        "tensors": declaration,
        "split": "test",
        "output": json.dumps(made.output),
        "propensity": made.propensity,
        "reward": float(made.output["action"] == "large"),
    }


@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
def test_a_policy_is_worth_the_probability_that_it_gives_to_what_earns(tmp_path: Path, epsilon: float) -> None:
    (dataset := tmp_path / "log").mkdir()
    path = version(tmp_path)
    logging, task = Offers(epsilon=0.5, floor=0.0), Offers(epsilon=epsilon, floor=0.0)
    values = open_version(path).run({"numbers": np.array([[0.1, 0.2]])})["values"]
    rows = [row(logging, values, number) for number in range(ROWS)]
    [value] = evaluate_off_policy(task, write_dataset(dataset, rows), [path], 0, lambda *_: None)
    assert value.estimate.value == pytest.approx(1 - epsilon / 2, abs=0.1)
