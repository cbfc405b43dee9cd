"""A version of the log: corrections and bare rewards of a drifted source make it better, and little is forgotten."""

import hashlib
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models import tensors
from models.base import Asked, Untrainable
from models.nn.convolution import Parameters
from models.nn.onnx_inference import session
from models.nn.weight_interpolation import TunedParameters
from models.object_detection.scoring import all_right
from models.small.object_detection import ObjectDetection
from models.small.object_detection.data.generation import Labelled
from models.small.object_detection.data.scenes import held_out_scenes
from models.small.object_detection.images import SIDE, Geometry
from models.small.object_detection.labels import LABELS
from models.small.object_detection.training import evaluation
from models.small.object_detection.training.feedback import DetectionFeedback, feedback
from models.small.object_detection.training.fine_tuning import (
    MAX_LOSS_INCREASE,
    FineTuningRecipe,
    RehearsedScenes,
    fine_tune,
    fine_tuned,
)
from models.small.object_detection.training.fine_tuning_loop import FineTuningPlan
from models.small.object_detection.training.fitting import DetectorFittingPlan, fit
from models.small.object_detection.training.network import Detector
from models.small.object_detection.training.onnx_export import Calibration, from_onnx, to_onnx
from tests.support.datasets import write_dataset
from tests.support.detection_scenes import make_block_scenes

NETWORK = Detector(channels=(4, 4, 8, 8), blocks=(0, 0, 0, 0), head=8)
RECIPE = FineTuningRecipe(
    train=6, validation=4, plan=FineTuningPlan(steps=50, rehearsed=8, corrected=8, rewarded=8, rate=1e-2)
)
RED = (1.0, 0.6, 0.8)


def scenes(number: int, seed: int, light: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> list[Labelled]:
    """Blocks as labelled scenes."""
    made = make_block_scenes(number, seed, light)
    geometry = Geometry.of(SIDE, SIDE).array()
    return [
        (
            {"image": square, "geometry": geometry},
            {"boxes": [{"box": boxes[0].tolist(), "label": LABELS[labels[0]]}]},
        )
        for square, boxes, labels in zip(made.squares, made.boxes, made.labels, strict=True)
    ]


REHEARSAL = RehearsedScenes(scenes(64, 2), scenes(32, 3))


@pytest.fixture(scope="module")
def parent() -> onnx.ModelProto:
    plan = DetectorFittingPlan(epochs=12, batch=16, rate=1e-2)
    fitted = fit(NETWORK, NETWORK.initial(0), make_block_scenes(192, 1), plan).parameters
    return to_onnx(NETWORK, fitted, Calibration())


def served(model: onnx.ModelProto, found: list[Labelled], explore: float = 0.0) -> list[tuple[dict[str, Any], float]]:
    """The output and the propensity for each scene."""
    asked = [Asked(str(number), features) for number, (features, _) in enumerate(found)]
    outputs = evaluation.outputs(session(model.SerializeToString()), found)
    return [(said.output, said.propensity) for said in ObjectDetection(explore).decode(outputs, asked)]


def dataset(directory: Path, model: onnx.ModelProto, found: list[Labelled], rewarded: bool) -> Path:
    """What people say of what the model says of scenes, a tenth of it for validation."""
    rows = []
    for number, ((features, truth), (output, propensity)) in enumerate(
        zip(found, served(model, found, 0.3 if rewarded else 0.0), strict=True)
    ):
        data, declared = tensors.encode(features)
        right = all_right(output["boxes"], truth["boxes"])
        said = {"reward": 1.0 if right else -1.0} if rewarded else {"label": json.dumps(truth)}
        row = {"features": data, "tensors": declared, "output": json.dumps(output), "propensity": propensity, **said}
        rows.append({**row, "split": "train" if number % 10 else "validation"})
    return write_dataset(directory, rows, content_hash="abc")


def share_right(model: onnx.ModelProto, found: list[Labelled]) -> float:
    pairs = zip(served(model, found), found, strict=True)
    return float(np.mean([all_right(output["boxes"], truth["boxes"]) for (output, _), (_, truth) in pairs]))


def tuned_model(parent: onnx.ModelProto, said: DetectionFeedback) -> tuple[TunedParameters, onnx.ModelProto]:
    tuned = fine_tune(NETWORK, parent, said, REHEARSAL, RECIPE)
    return tuned, to_onnx(NETWORK, tuned.parameters, Calibration())


@pytest.mark.parametrize("rewarded", [False, True], ids=["corrections", "rewards alone"])
def test_a_drifted_source_is_learned_and_the_old_one_kept(
    parent: onnx.ModelProto, tmp_path: Path, rewarded: bool
) -> None:
    said = feedback(dataset(tmp_path, parent, scenes(160, 5, RED), rewarded), parent)
    tuned, model = tuned_model(parent, said)
    kept = [one for one in tuned.trials if one.rehearsal_loss <= MAX_LOSS_INCREASE * tuned.trials[0].rehearsal_loss]
    (chosen,) = [one for one in kept if one.share == tuned.share]
    assert chosen.feedback_loss == min(one.feedback_loss for one in kept)
    fresh, old = scenes(100, 7, RED), scenes(100, 8)
    assert share_right(model, fresh) > share_right(parent, fresh) + 0.1
    assert share_right(model, old) > share_right(parent, old) - 0.05


def test_the_parent_is_kept_where_nothing_is_better(parent: onnx.ModelProto, tmp_path: Path) -> None:
    said = feedback(dataset(tmp_path, parent, scenes(20, 5), rewarded=False), parent)
    lie = {"boxes": [{"box": [0.0, 0.0, 9.0, 9.0], "label": LABELS[5]}]}
    wrong = replace(said.train, corrected=[(features, lie) for features, _ in said.train.corrected])
    tuned, _ = tuned_model(parent, replace(said, train=wrong))
    assert tuned.share == 0
    assert_equal(tuned.parameters, from_onnx(parent))


def test_the_same_arguments_give_the_same_bytes_and_the_card_says_where_they_come_from(
    parent: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectDetection, "held_out", lambda self: islice(held_out_scenes(1), 4))
    path, recipe = (
        tmp_path / "model.onnx",
        replace(RECIPE, plan=FineTuningPlan(steps=2, rehearsed=2, corrected=2, rewarded=2)),
    )
    onnx.save(parent, path)
    log = dataset(tmp_path, parent, scenes(20, 5, RED), rewarded=True)
    steps: list[tuple[str, int, int | None]] = []
    (model, card), (again, _) = (
        fine_tuned(ObjectDetection(), NETWORK, log, path, 3, lambda *step: steps.append(step), recipe) for _ in range(2)
    )
    assert model == again
    assert card["parent"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (card["dataset"], card["seed"], card["plan"]["seed"]) == ("abc", 3, 3)
    assert card["feedback"]["train rewards"] == 18
    assert card["rehearsed scenes"] == {"train": 6, "validation": 4}
    assert card["figures"]["scenes"] == card["figures before"]["scenes"] == 4
    assert any(doing.startswith("fitting") for doing, _, _ in steps)
    json.dumps(card)


def test_a_parent_of_another_kind_or_shape_is_refused(parent: onnx.ModelProto, tmp_path: Path) -> None:
    log, broken, other = dataset(tmp_path, parent, scenes(4, 5), False), tmp_path / "broken", tmp_path / "other"
    broken.write_bytes(b"nothing")
    larger = Detector(channels=(4, 4, 4, 8), blocks=(0, 0, 0, 0), head=4)
    onnx.save(to_onnx(larger, larger.initial(0), Calibration()), other)
    for path, reason in ((broken, "can't be read"), (tmp_path / "nowhere", "can't be read"), (other, "shape")):
        with pytest.raises(Untrainable, match=reason):
            fine_tuned(ObjectDetection(), NETWORK, log, path, 0, lambda *_: None, RECIPE)


def test_a_dataset_without_a_manifest_is_refused(parent: onnx.ModelProto, tmp_path: Path) -> None:
    log, path = dataset(tmp_path, parent, scenes(4, 5), False), tmp_path / "model.onnx"
    onnx.save(parent, path)
    (log / "manifest.json").unlink()
    with pytest.raises(Untrainable, match="manifest"):
        fine_tuned(ObjectDetection(), NETWORK, log, path, 0, lambda *_: None, RECIPE)


def assert_equal(first: Parameters, second: Parameters) -> None:
    for (weights, bias), (other_weights, other_bias) in zip(first, second, strict=True):
        np.testing.assert_array_equal(weights, other_weights)
        np.testing.assert_array_equal(bias, other_bias)
