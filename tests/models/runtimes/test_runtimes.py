"""A version is opened by the runtime that its manifest names."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from app.registry.shipped import shipped_versions
from models.manifest import Manifest, listed, write_version
from models.runtimes import Execution, open_version
from tests.support.summing_runtime import summing_version
from tests.support.tasks import Letters

LETTERS = {"letters": np.array([[1, 2], [3, 4]], np.uint8)}


def test_a_runtime_of_its_own_opens_all_files(tmp_path: Path) -> None:
    version = open_version(summing_version(tmp_path, factor=2, offset=1))
    assert version.run(LETTERS)["sum"].tolist() == [7, 15]


def test_one_onnx_file_gives_the_same_with_and_without_a_manifest(tmp_path: Path) -> None:
    model = shipped_versions(Letters())["1"]
    shutil.copy(model, tmp_path / "sum.onnx")
    manifest = Manifest(files=listed({"sum.onnx": model.read_bytes()}))
    path = write_version(tmp_path, manifest.content(), {"sum.onnx": model.read_bytes()}, None)
    bare, listed_version = open_version(model), open_version(path)
    assert bare.inputs == listed_version.inputs
    assert bare.inputs["letters"].shape == (None, None)
    assert bare.run(LETTERS)["sum"].tolist() == listed_version.run(LETTERS)["sum"].tolist() == [3, 7]


@pytest.mark.parametrize(
    ("runtime", "says"),
    [
        ("no.such:Runtime", "can't be imported"),
        ("models.base:NoSuch", "can't be imported"),
        ("os:system", "is not a models.runtimes.Runtime"),
        ("models.base:Task", "is not a models.runtimes.Runtime"),
    ],
)
def test_what_is_no_runtime_is_refused(tmp_path: Path, runtime: str, says: str) -> None:
    path = write_version(tmp_path, Manifest(runtime=runtime, files=listed({"a": b"1"})).content(), {"a": b"1"}, None)
    with pytest.raises(ValueError, match=says):
        open_version(path)


def test_providers_that_are_not_here_leave_the_cpu_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    session = Execution(providers=("NoSuchExecutionProvider",)).open(shipped_versions(Letters())["1"])
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert "has no NoSuchExecutionProvider here" in caplog.text
