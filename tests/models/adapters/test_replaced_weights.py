"""A version that has learned stores only the weights that it has learned."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.adapters.replaced_weights import RUNTIME, WEIGHTS, changed, merged
from models.manifest import MODEL, Manifest, VersionFiles, listed, write_version
from models.nn.onnx_graph import Graph
from models.nn.onnx_inference import session
from models.runtimes import open_version


def floats(values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


X = np.array([[1.0, 2.0]], np.float32)


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """The version of a model that returns x * factor + offset."""
    graph = Graph("line")
    scaled = graph.add("Mul", graph.input("x", np.float32, ["batch", 2]), graph.constant(floats([2, 3]), "factor"))
    graph.output("y", graph.add("Add", scaled, graph.constant(floats([1, 1]), "offset")), np.float32, ["batch", 2])
    files = {MODEL: graph.model({}).SerializeToString()}
    return write_version(tmp_path / "1", Manifest(files=listed(files), labels=("a",)).content(), files, None)


def child(parent: Path, name: str, **weights: NDArray[np.float32]) -> Path:
    manifest, files = changed(VersionFiles.of(parent), weights)
    assert set(files) == {WEIGHTS}
    return write_version(parent.parent.with_name(name), manifest, files, parent)


def test_a_child_answers_with_its_weights_and_keeps_the_file_of_its_parent(parent: Path) -> None:
    version = child(parent, "2", factor=floats([5, 5]))
    np.testing.assert_array_equal(open_version(version).run({"x": X})["y"], [[6, 11]])
    before, after = (Manifest.parse(path.read_bytes()) for path in (parent, version))
    assert after.files[MODEL] == before.files[MODEL]
    assert (after.runtime, after.labels) == (RUNTIME, ("a",))
    VersionFiles.of(version).verify()


def test_a_grandchild_keeps_the_weights_that_it_does_not_replace(parent: Path) -> None:
    version = child(child(parent, "2", factor=floats([5, 5])), "3", offset=floats([0, 0]))
    np.testing.assert_array_equal(open_version(version).run({"x": X})["y"], [[5, 10]])


def test_the_merged_file_is_the_version(parent: Path) -> None:
    version = child(parent, "2", factor=floats([5, 5]))
    model = session(merged(VersionFiles.of(version)).SerializeToString())
    np.testing.assert_array_equal(model.run(None, {"x": X})[0], [[6, 11]])


@pytest.mark.parametrize("weights", [{"slope": floats([5, 5])}, {"factor": floats([5])}])
def test_weights_that_replace_none_are_refused(parent: Path, weights: dict[str, NDArray[np.float32]]) -> None:
    with pytest.raises(ValueError, match="replace none of the model's"):
        open_version(child(parent, "2", **weights))


def test_the_same_weights_are_the_same_file(parent: Path) -> None:
    weights = {"factor": floats([5, 5])}
    assert changed(VersionFiles.of(parent), weights) == changed(VersionFiles.of(parent), weights)
