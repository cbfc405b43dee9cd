import numpy as np
import pytest

from models.foreign.detection_head import DetectionHead
from models.foreign.heads import Activation, ClassificationHead, CtcHead

SIZE = (100, 200)


@pytest.mark.parametrize(
    ("activation", "scores"), [("none", [0.2, 0.8]), ("softmax", np.log([1, 4])), ("exp", np.log([0.2, 0.8]))]
)
def test_scores_become_probabilities(activation: Activation, scores: list[float]) -> None:
    read = ClassificationHead(scores="y", activation=activation).read({"y": np.array([scores])}, SIZE)
    np.testing.assert_allclose(read["probabilities"], [[0.2, 0.8]], rtol=1e-6)


def test_one_score_of_two_classes_is_that_of_the_second() -> None:
    read = ClassificationHead(scores="y", activation="sigmoid").read({"y": np.array([[0.0], [1000.0]])}, SIZE)
    assert read["probabilities"].tolist() == [[0.5, 0.5], [0.0, 1.0]]


def test_maps_are_read_in_the_order_of_their_keys() -> None:
    head = ClassificationHead(scores="y", activation="none", keys=("b", "a"))
    assert head.read({"y": [{"a": 0.25, "b": 0.75}]}, SIZE)["probabilities"].tolist() == [[0.75, 0.25]]


def test_the_best_path_is_that_of_each_event_where_frames_come_first() -> None:
    scores = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]])  # (frames, batch, symbols)
    read = CtcHead(scores="y", frames_first=True, activation="none").read({"y": scores}, SIZE)
    assert read["symbols"].tolist() == [[0, 1], [1, 0]]
    np.testing.assert_allclose(read["probabilities"], [[0.9, 0.7], [0.8, 0.6]], rtol=1e-6)


def test_the_worse_of_two_boxes_of_one_class_on_one_object_is_left_out() -> None:
    table = np.array([[[10, 10, 20, 20, 0.7, 0], [11, 11, 20, 20, 0.9, 0], [10, 10, 20, 20, 0.6, 1]]], np.float32)
    read = DetectionHead(form="rows", boxes="y", coordinates="ltrb", max_overlap=0.45).read({"y": table}, SIZE)
    np.testing.assert_allclose(read["scores"], [[0.9, 0.6]])
    assert read["classes"].tolist() == [[0, 1]]


def test_pictures_with_fewer_boxes_are_padded_with_scores_of_0() -> None:
    table = np.zeros((2, 3, 6), np.float32)
    table[1, 0] = (1, 2, 3, 4, 0.9, 1)
    read = DetectionHead(form="rows", boxes="y", coordinates="ltrb").read({"y": table}, SIZE)
    np.testing.assert_allclose(read["scores"], np.array([[0.0], [0.9]]))
    assert read["boxes"][1].tolist() == [[1, 2, 3, 4]]


def test_shares_of_the_sides_become_pixels_and_a_detector_of_one_picture_may_leave_out_the_batch() -> None:
    raw = {"b": np.array([[0.1, 0.2, 0.5, 0.6]]), "s": np.array([0.8]), "c": np.array([3])}
    head = DetectionHead(
        form="listed", boxes="b", scores="s", classes="c", coordinates="tlbr", unit="share", first_class=1
    )
    read = head.read(raw, SIZE)
    np.testing.assert_allclose(read["boxes"], [[[40, 10, 120, 50]]], rtol=1e-6)
    assert read["classes"].tolist() == [[2]]
