"""What a dataset says of scenes: what to say of them and how much it counts, what not to say, and what is left out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models import tensors
from models.base import Asked, Features, Untrainable
from models.nn.onnx_inference import session
from models.nn.reward_weights import CLIP
from models.object_detection.candidates import Candidates
from models.object_detection.policy import choices_of
from models.small.object_detection import ObjectDetection
from models.small.object_detection.labels import LABELS
from models.small.object_detection.training import evaluation, feedback
from models.small.object_detection.training.feedback import SAME_BOX_IOU
from models.small.object_detection.training.negative_feedback import NO_CANDIDATE
from tests.support.datasets import write_dataset

PARENT = onnx.load(Path(feedback.__file__).parents[1] / "versions/1/model.onnx")
TASK = ObjectDetection()
FEATURES = [TASK.preprocess(sample.payload) for sample in TASK.samples()]
TRUTH = {"boxes": [{"box": [1.0, 2.0, 30.0, 40.0], "label": "mug"}]}


def served(features: Features, explore: float = 0.0, name: str = "one") -> dict[str, Any]:
    """A row of what the parent says."""
    outputs = evaluation.outputs(session(PARENT.SerializeToString()), [(features, {})])
    (said,) = ObjectDetection(explore).decode(outputs, [Asked(name, features)])
    data, declared = tensors.encode(features)
    row = {"features": data, "tensors": declared, "split": "train", "propensity": said.propensity}
    return {**row, "output": json.dumps(said.output)}


def found(tmp_path: Path, *rows: dict[str, Any]) -> feedback.DetectionFeedback:
    return feedback.feedback(write_dataset(tmp_path, list(rows)), PARENT)


def test_corrections_come_by_split_and_those_of_the_test_are_not_looked_at(tmp_path: Path) -> None:
    label = json.dumps(TRUTH)
    rows = [served(FEATURES[0]) | {"label": label, "reward": -1.0, "split": split} for split in ("train", "validation")]
    said = found(tmp_path, *rows, rows[0] | {"split": "test"})
    for part in (said.train, said.validation):
        ((scene, truth),) = part.corrected
        np.testing.assert_array_equal(scene["image"], FEATURES[0]["image"])
        assert truth == TRUTH
        assert not part.positive
        assert not len(part.negative.weights)
    assert said.counts["train corrections"] == said.counts["validation corrections"] == 1
    assert said.counts["train rewards"] == 0


def test_what_is_better_than_usual_is_to_be_said_and_what_is_worse_is_not(tmp_path: Path) -> None:
    better, worse = served(FEATURES[0]), served(FEATURES[1])
    said = found(tmp_path, better | {"reward": 1.0}, worse | {"reward": 0.0})
    assert said.baseline == 0.5
    (lesson,) = said.train.positive
    assert lesson.scene[1] == json.loads(better["output"])
    assert lesson.weight == 0.5
    np.testing.assert_array_equal(said.train.negative.squares[0], FEATURES[1]["image"])
    assert said.train.negative.weights.tolist() == [0.5]
    choices = said.train.negative.choices[0]
    labels = [LABELS[choice] for choice in choices[(choices >= 0) & (choices < len(LABELS))]]
    assert sorted(labels) == sorted(box["label"] for box in json.loads(worse["output"])["boxes"])


def test_what_was_seldom_served_counts_more_but_not_without_end(tmp_path: Path) -> None:
    rows = [served(FEATURES[0]) | {"reward": reward, "propensity": 1e-9} for reward in (1.0, -1.0)]
    said = found(tmp_path, *rows)
    assert said.train.positive[0].weight == said.train.negative.weights[0] == CLIP


def test_what_was_drawn_is_found_among_the_parents_candidates_again(tmp_path: Path) -> None:
    rows = [served(features, 1.0, str(number)) for number in range(6) for features in FEATURES]
    said = found(tmp_path, served(FEATURES[0]) | {"reward": 1.0}, *(row | {"reward": -1.0} for row in rows))
    assert "left out: said by another version" not in said.counts
    negative = said.train.negative
    assert len(negative.weights) + said.counts.get("left out: nothing to choose", 0) == len(rows)
    assert ((negative.choices != NO_CANDIDATE).sum(axis=1) > 0).all()


def test_punished_boxes_of_another_version_are_left_out(tmp_path: Path) -> None:
    strange = served(FEATURES[1]) | {"output": json.dumps(TRUTH), "reward": -1.0}
    said = found(tmp_path, served(FEATURES[0]) | {"reward": 1.0}, strange)
    assert said.counts["left out: said by another version"] == 1
    assert not len(said.train.negative.weights)


def test_a_box_is_the_candidate_that_it_lies_on_and_no_other_box_is() -> None:
    there = Candidates(
        np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 40.0, 40.0]]), np.full((2, len(LABELS)), 0.5), np.arange(2)
    )
    box = {"box": [20.0, 20.0, 40.0, 39.5], "label": "sign"}
    choices = choices_of([box], there, LABELS, SAME_BOX_IOU)
    assert choices is not None
    assert choices.tolist() == [len(LABELS), LABELS.index("sign")]
    assert choices_of([box, box], there, LABELS, SAME_BOX_IOU) is None


def test_equal_rewards_say_nothing(tmp_path: Path) -> None:
    with pytest.raises(Untrainable, match="all rewards are equal"):
        found(tmp_path, *(served(features) | {"reward": 0.3} for features in FEATURES))


def test_labels_that_are_not_known_are_left_out(tmp_path: Path) -> None:
    label = json.dumps({"boxes": [{"box": [1.0, 2.0, 30.0, 40.0], "label": "lion"}]})
    with pytest.raises(Untrainable, match="unknown label"):
        found(tmp_path, served(FEATURES[0]) | {"label": label})


def test_features_of_another_task_are_refused(tmp_path: Path) -> None:
    data, declared = tensors.encode({"image": np.zeros((24, 60), np.uint8)})
    row = served(FEATURES[0]) | {"features": data, "tensors": declared, "label": json.dumps(TRUTH)}
    with pytest.raises(Untrainable, match="another task"):
        found(tmp_path, row)
