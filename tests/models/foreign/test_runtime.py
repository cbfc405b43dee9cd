from pathlib import Path

import numpy as np
import pytest

from models.foreign.runtime import RUNTIME, stacked
from models.manifest import Manifest, listed
from models.runtimes import Runtime, open_version
from tests.support import foreign_models
from tests.support.foreign_models import save

OPTIONS = {"input": {"kind": "image", "name": "pixel_values"}, "head": {"kind": "classification", "scores": "logits"}}


def opened(folder: Path, options: dict[str, object]) -> Runtime:
    model = save(foreign_models.colour_classifier(), folder / "model.onnx")
    manifest = Manifest(runtime=RUNTIME, files=listed({"model.onnx": model.read_bytes()}), options=options)
    (folder / "manifest.json").write_bytes(manifest.content())
    return open_version(folder / "manifest.json")


def test_events_that_go_in_one_by_one_are_answered_as_in_a_batch(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    together, apart = (
        opened(tmp_path, {**OPTIONS, "one_by_one": one}).run({"image": pictures}) for one in (False, True)
    )
    np.testing.assert_allclose(together["probabilities"], apart["probabilities"], rtol=1e-6)
    assert together["probabilities"].shape == (3, 3)


def test_outputs_of_different_sizes_are_padded_with_zeros() -> None:
    parts = [{"boxes": np.ones((1, count, 4), np.float32)} for count in (1, 3)]
    boxes = stacked(parts)["boxes"]
    assert boxes.shape == (2, 3, 4)
    assert boxes.sum(axis=(1, 2)).tolist() == [4, 12]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "Field required"),
        ({**OPTIONS, "one_by_on": True}, "Extra inputs are not permitted"),
        ({**OPTIONS, "head": {"kind": "classification", "scores": "y"}}, "the model has no output y"),
    ],
)
def test_options_that_are_not_those_of_the_model_are_refused(
    tmp_path: Path, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        opened(tmp_path, options)
