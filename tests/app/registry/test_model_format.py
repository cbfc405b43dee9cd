"""A file that is no whole ONNX file is refused with what it is, and the remedy."""

from pathlib import Path

import onnx
import pytest

from app.errors import SetupError
from app.evaluation.trial_answers import open_model
from app.registry.model_format import check_version
from app.settings import CHECKOUT

OCR = CHECKOUT / "models/small/ocr/versions/1/model.onnx"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"PK\x03\x04" + bytes(100), "ZIP archive, as PyTorch"),
        (b"\x80\x05\x95" + bytes(100), "pickle"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"not a model", "not an ONNX file"),
        (OCR.read_bytes()[:-1000], "cut off"),
    ],
)
def test_a_file_that_is_no_whole_onnx_file_is_refused_with_the_remedy(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(SetupError, match=says) as refused:
        open_model(path)
    assert "Export it" in refused.value.remedy


def test_a_directory_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="SavedModel") as refused:
        check_version(tmp_path)
    assert "Export it" in refused.value.remedy


def test_a_model_whose_weights_are_in_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(onnx.load(OCR), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(SetupError, match="its weights are in another file") as refused:
        check_version(path)
    assert "Save it as one file" in refused.value.remedy
