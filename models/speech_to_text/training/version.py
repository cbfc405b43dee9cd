"""A version whose decoder learns: its files as training uses them, and the version that comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.base import Untrainable
from models.manifest import VersionFiles, listed
from models.runtimes import Execution
from models.speech_to_text.mu_law import expand
from models.speech_to_text.recogniser import Recogniser
from models.speech_to_text.runtime import ADAPTER, DECODER, ENCODER, VOCABULARY
from models.speech_to_text.training.encoding import Encoding
from models.speech_to_text.training.feedback import SpokenText
from models.speech_to_text.training.utterances import MAX_FRAMES, MAX_TOKENS, Utterance
from models.speech_to_text.training.weights import DecoderWeights
from models.speech_to_text.vocabulary import read_vocabulary


@dataclass(frozen=True)
class SpeechVersion:
    """A version's files, and what training needs of them."""

    files: VersionFiles
    recogniser: Recogniser
    encoding: Encoding
    weights: DecoderWeights

    @classmethod
    def of(cls, version: Path) -> "SpeechVersion":
        """Open the version at a `manifest.json`. Raises `Untrainable`."""
        try:
            files = VersionFiles.of(version)
            encoder, decoder = (Execution(threads=1).open(files.path(name)) for name in (ENCODER, DECODER))
            encoding = Encoding(read_vocabulary(files.path(VOCABULARY).read_bytes()))
            replaced = read_adapter(files.path(ADAPTER)) if ADAPTER in files.manifest.files else {}
            weights = DecoderWeights.read(files.path(DECODER), replaced)
            return cls(files, Recogniser(encoder, decoder), encoding, weights)
        except Exception as error:  # a file's damage shows in many ways
            raise Untrainable(f"{version} can't be read as a version of `speech_to_text`: {error}") from error

    def utterances(self, chunks: Sequence[SpokenText]) -> list[Utterance]:
        """Return what the encoder makes of chunks, and their tokens, without those with more than the decoder takes."""
        made = (
            Utterance(self.recogniser.encode(expand(chunk.samples)), self.encoding.tokens(chunk.text))
            for chunk in chunks
        )
        return [one for one in made if len(one.states) <= MAX_FRAMES and len(one.tokens) < MAX_TOKENS]

    def changed(self, matrices: Mapping[str, NDArray[Any]]) -> tuple[bytes, dict[str, bytes]]:
        """Return the manifest of the version with other weights of the decoder, and the file that its parent lacks."""
        files = {ADAPTER: adapter(matrices)}
        manifest = self.files.manifest.model_copy(update={"files": {**self.files.manifest.files, **listed(files)}})
        return manifest.content(), files


def adapter(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a file of named weights in ONNX Runtime's format."""
    content = onnxruntime.AdapterFormat()
    content.set_adapter_version(1)
    content.set_model_version(1)
    content.set_parameters(
        {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(weights[name]))
            for name in sorted(weights)
        }
    )
    with TemporaryDirectory() as directory:
        path = Path(directory) / ADAPTER
        content.export_adapter(str(path))
        return path.read_bytes()


def read_adapter(path: Path) -> dict[str, NDArray[Any]]:
    """Return the weights in such a file."""
    parameters = onnxruntime.AdapterFormat.read_adapter(str(path)).get_parameters()
    return {name: np.array(value.numpy()) for name, value in parameters.items()}
