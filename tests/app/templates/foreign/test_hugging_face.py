import json
from pathlib import Path

import pytest

from app.errors import SetupError
from app.templates.foreign.creation import create_foreign_task
from app.templates.foreign.hints import Hints
from app.templates.foreign.hugging_face import read_hints
from models.foreign.inputs import ImageInput
from tests.support import foreign_models
from tests.support.foreign_models import save

PICTURES = {
    "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.1, 0.2, 0.3],
    "do_center_crop": True,
    "size": {"shortest_edge": 64},
    "crop_size": {"height": 56, "width": 48},
}
CONFIG = {"architectures": ["ResNetForImageClassification"], "id2label": {"0": "cat", "10": "cow", "2": "dog"}}


def write(folder: Path, **files: object) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_the_configuration_of_a_classifier_is_followed(tmp_path: Path) -> None:
    folder = write(tmp_path / "hub", config=CONFIG, preprocessor_config=PICTURES)
    save(foreign_models.colour_classifier(), folder / "onnx" / "model.onnx")
    _, _, design = create_foreign_task("animals", tmp_path, [], folder, None, Hints(std=(1.0,)), [])
    assert isinstance(design.options.input, ImageInput)
    assert (design.options.input.mean, design.options.input.std) == ((0.5, 0.4, 0.3), (1.0,))
    assert design.attributes == {"height": 56, "width": 48, "resize": "crop", "shorter": 64}
    assert (design.kind, design.labels) == ("classification", ("cat", "dog", "cow"))
    assert design.notes.assumed == ["channels are in the order RGB; --channels sets the other"]


def test_the_vocabulary_of_a_recogniser_is_its_alphabet(tmp_path: Path) -> None:
    vocabulary = {"<pad>": 0, "<s>": 1, "|": 2, "E": 3}
    config = {"architectures": ["Wav2Vec2ForCTC"], "pad_token_id": 0}
    folder = write(tmp_path / "hub", config=config, vocab=vocabulary, preprocessor_config={"sampling_rate": 16_000})
    hints = read_hints(folder)
    assert (hints.kind, hints.labels) == ("ctc", ("", "", " ", "E"))


def test_a_folder_of_several_parts_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "hub", config={})
    (folder / "onnx").mkdir()
    for part in ("encoder_model", "decoder_model_merged"):
        (folder / "onnx" / f"{part}.onnx").touch()
    with pytest.raises(SetupError, match="writes its output token by token"):
        create_foreign_task("whisper", tmp_path, [], folder, None, Hints(), [])


def test_a_folder_without_an_onnx_file_is_refused_with_the_command_that_exports_it(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        create_foreign_task("animals", tmp_path, [], write(tmp_path / "hub", config=CONFIG), None, Hints(), [])
    assert "optimum-cli export onnx" in caught.value.remedy
