"""Corrections of recordings become a version whose decoder has another adapter, and nothing else that is new."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.registry.shipped import shipped_versions
from models import tensors
from models.audio.files import read_audio
from models.base import Trained, Untrainable
from models.manifest import Manifest, VersionFiles, write_version
from models.nn.onnx_inference import judge
from models.runtimes import open_version
from models.speech_to_text import SpeechToText
from models.speech_to_text.recordings import SAMPLES, shipped
from models.speech_to_text.runtime import ADAPTER, VOCABULARY
from models.speech_to_text.training.fitting import Plan, open_decoder
from models.speech_to_text.training.trainer import Sizes, SpeechAdapter
from models.speech_to_text.training.utterances import Utterance
from models.speech_to_text.training.version import SpeechVersion, read_adapter
from models.speech_to_text.vocabulary import END, read_vocabulary, text_of
from tests.support.datasets import write_dataset

TASK = SpeechToText()
PARENT = shipped_versions(TASK)["1"]
CARDS = shipped(SAMPLES)[3]
"""One word of it is heard wrong: `clothes` for `clubs`."""
PLAN = Plan(("encoder_attn/v_proj", "encoder_attn/o_proj"), epochs=8, warm_up=0.0, max_divergence=10.0)
SIZES = Sizes(made=2, held_out=0)


def dataset_rows() -> Iterator[dict[str, Any]]:
    [judged] = judge(open_version(PARENT), TASK, [CARDS])
    data, declaration = tensors.encode(TASK.preprocess(CARDS.payload))
    yield {
        "prediction_id": "1",
        "features": data,
        "tensors": declaration,
        "output": json.dumps(judged.decoded.output),
        "label": json.dumps(CARDS.correction),
        "split": "train",
        "propensity": 1.0,
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    dataset = write_dataset(tmp_path_factory.mktemp("log"), list(dataset_rows()), "abc")
    return SpeechAdapter(TASK, PLAN, SIZES).train(dataset, PARENT, 3, lambda *_: None)


def test_jax_says_of_a_transcript_what_the_served_decoder_says_and_texts_give_its_tokens() -> None:
    version = SpeechVersion.of(PARENT)
    samples = read_audio(CARDS.payload)
    [transcript] = version.recogniser.transcribe([samples])
    text = text_of(transcript.tokens, read_vocabulary(version.files.path(VOCABULARY).read_bytes()))
    assert version.encoding.tokens(text) == transcript.tokens
    utterance = Utterance(version.recogniser.encode(samples), transcript.tokens)
    [known] = open_decoder(version.weights, [utterance]).with_parents([utterance])
    assert known.parent is not None
    scores = known.parent @ version.weights.output
    log_probs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    said = log_probs[np.arange(len(scores)), [*transcript.tokens, END]].sum()
    assert said == pytest.approx(transcript.log_prob, abs=0.1)


def test_only_the_adapter_is_a_new_file_and_it_is_small(trained: Trained) -> None:
    before, after = Manifest.parse(PARENT.read_bytes()), Manifest.parse(trained.model)
    assert set(trained.files) == {ADAPTER}
    assert {name: file for name, file in after.files.items() if name != ADAPTER} == before.files
    assert len(trained.files[ADAPTER]) < 2_000_000


def test_the_new_version_hears_what_the_correction_says_and_can_go_on_learning(
    trained: Trained, tmp_path: Path
) -> None:
    version = write_version(tmp_path, trained.model, trained.files, PARENT)
    before, after = (judge(open_version(one), TASK, [CARDS])[0] for one in (PARENT, version))
    assert TASK.score(after.decoded.output, CARDS.correction) > TASK.score(before.decoded.output, CARDS.correction)
    stored = read_adapter(VersionFiles.of(version).path(ADAPTER))
    for matrices in SpeechVersion.of(version).weights.matrices.values():
        for matrix in matrices:
            np.testing.assert_array_equal(matrix.integers, stored.get(matrix.name, matrix.integers))


def test_the_card_says_what_was_learned_from(trained: Trained) -> None:
    card = json.loads(json.dumps(trained.card))
    assert (card["dataset"], card["seed"], card["feedback"]) == ("abc", 3, {"train corrections": 1})


def test_it_starts_from_a_version_of_speech_to_text_and_a_dataset(tmp_path: Path) -> None:
    for dataset, parent in ((None, None), (tmp_path, None), (None, PARENT)):
        with pytest.raises(Untrainable, match="from a parent on a dataset"):
            SpeechAdapter(TASK).train(dataset, parent, 0, lambda *_: None)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(Untrainable, match="can't be read as a version of `speech_to_text`"):
        SpeechVersion.of(tmp_path / "manifest.json")
