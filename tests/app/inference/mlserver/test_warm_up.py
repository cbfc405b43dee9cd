"""What a version answers before it counts as ready."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from app.errors import Unavailable
from app.events.base import ModelRef
from app.inference.mlserver import warm_up
from app.inference.mlserver.client import InferenceClient
from app.inference.mlserver.repository import install
from app.registry.shipped import shipped_versions
from app.settings import Settings
from models.base import Features, Rejected, Sample, Shapes
from models.manifest import write_version
from tests.support.tasks import Letters


class LettersByFours(Letters):
    """Pads to multiples of four letters, and rejects digits."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        self._payloads = payloads

    def preprocess(self, payload: bytes) -> Features:
        if payload.isdigit():
            raise Rejected("digits", "digits are no letters")
        return {"letters": np.frombuffer(payload, np.uint8)}

    def padded(self, shapes: Shapes) -> Shapes:
        return {"letters": (-(-shapes["letters"][0] // 4) * 4,)}

    def samples(self) -> Sequence[Sample]:
        return [Sample(f"sample {place}", payload, "text/plain", {}) for place, payload in enumerate(self._payloads)]


def test_there_is_a_batch_of_each_shape_of_the_samples_the_smallest_first() -> None:
    batches = warm_up.make_batches(LettersByFours([b"abcdef", b"ab", b"abc", b"123"]))
    assert [batch["letters"].tobytes() for batch in batches] == [b"ab\0\0", b"abcdef\0\0"]


def test_large_inputs_are_left_out() -> None:
    small, large = b"a" * warm_up.MAX_BYTES, b"a" * (warm_up.MAX_BYTES + 1)
    assert [batch["letters"].shape for batch in warm_up.make_batches(LettersByFours([large, small]))] == [
        (1, warm_up.MAX_BYTES)
    ]


def test_batches_are_read_as_they_were_written(tmp_path: Path) -> None:
    batches: list[warm_up.Batch] = [
        {"file": np.zeros((1, 3), np.uint8), "allow_pickle": np.ones((1, 2), np.float32)},
        {"file": np.ones((1, 5), np.uint8)},
    ]
    warm_up.write(tmp_path, batches)
    read = warm_up.read(tmp_path)
    assert [list(batch) for batch in read] == [list(batch) for batch in batches]
    for batch, expected in zip(read, batches, strict=True):
        for name, tensor in expected.items():
            np.testing.assert_array_equal(batch[name], tensor, strict=True)
    assert warm_up.read(tmp_path / "elsewhere") == []


async def test_a_version_that_answers_its_warm_up_is_ready(client: InferenceClient, mlserver: Settings) -> None:
    model = ModelRef(name="letters", version="21")
    await load(client, mlserver, model, {"letters": np.ones((1, 2), np.uint8)})
    assert await client.serves(model)


async def test_a_version_whose_warm_up_fails_is_not_ready_and_the_reason_is_told(
    client: InferenceClient, mlserver: Settings
) -> None:
    model = ModelRef(name="letters", version="22")
    with pytest.raises(Unavailable, match=r"warm-up with letters \[1\] failed: .*Invalid rank"):
        await load(client, mlserver, model, {"letters": np.ones(1, np.uint8)})
    assert not await client.serves(model)


async def load(client: InferenceClient, mlserver: Settings, model: ModelRef, batch: warm_up.Batch) -> None:
    """Make the real MLServer load the shipped version under another number, with this warm-up."""
    content = shipped_versions(Letters())["1"].read_bytes()
    install(mlserver, model, partial(write_version, model=content, files={}, parent=None), [batch])
    await client.load(model)
