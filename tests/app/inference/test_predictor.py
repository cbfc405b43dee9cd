import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from app.errors import RequestRefused, Unavailable
from app.events.base import ModelRef
from app.inference import predictor
from app.inference.predictor import PredictionResult, Predictor, stack_inputs
from models.base import Asked, Decoded, Features, Rejected, Shapes
from tests.support.tasks import Letters

MODEL = ModelRef(name="letters", version="1")
Batch = Mapping[str, NDArray[Any]]


pytestmark = pytest.mark.usefixtures("impatient")


class PaddedLetters(Letters):
    """Pads to multiples of four."""

    def padded(self, shapes: Shapes) -> Shapes:
        return {name: tuple(-(-size // 4) * 4 for size in shape) for name, shape in shapes.items()}


class FakeMLServer:
    """Sums each row, as the model does, unless `find_error` returns an error for the batch."""

    def __init__(self, find_error: Callable[[Batch], Exception | None] = lambda _: None) -> None:
        self.find_error = find_error
        self.calls: list[tuple[int, ...]] = []

    async def infer(self, model: ModelRef, batch: Batch) -> dict[str, NDArray[Any]]:
        assert model == MODEL
        self.calls.append(batch["letters"].shape)
        await asyncio.sleep(0)
        if error := self.find_error(batch):
            raise error
        return {"sum": batch["letters"].sum(axis=1).astype(np.float32)}


def features(*texts: str) -> list[Asked]:
    return [Asked(f"letters:{text}", {"letters": np.frombuffer(text.encode(), np.uint8)}) for text in texts]


def sums(results: list[PredictionResult | Rejected]) -> list[float | str]:
    return [result.code if isinstance(result, Rejected) else result.prediction.output["sum"] for result in results]


def error_for(letter: str, error: type[Exception] = RequestRefused) -> Callable[[Batch], Exception | None]:
    return lambda batch: error(f"no {letter}") if (batch["letters"] == ord(letter)).any() else None


async def test_an_empty_batch_makes_no_call() -> None:
    server = FakeMLServer()
    assert await Predictor(PaddedLetters(), server, 3)(MODEL, []) == []
    assert server.calls == []


async def test_a_call_has_a_bounded_size_and_a_large_event_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "MAX_CALL_BYTES", 8)
    server = FakeMLServer()
    results = await Predictor(PaddedLetters(), server, 3)(MODEL, features("a", "b", "c", "a" * 9, "b" * 9))
    assert sorted(server.calls) == [(1, 4), (1, 12), (1, 12), (2, 4)]
    assert sums(results) == [97, 98, 99, 9 * 97, 9 * 98]


async def test_events_with_equal_padded_shapes_share_a_call() -> None:
    server = FakeMLServer()
    results = await Predictor(PaddedLetters(), server, 3)(MODEL, features("a", "abcde", "abcd", "b"))
    assert sorted(server.calls) == [(1, 8), (3, 4)]
    assert sums(results) == [97, 495, 394, 98]
    assert [result.batch_size for result in results if isinstance(result, PredictionResult)] == [3, 1, 3, 3]


async def test_tensors_of_different_dtypes_share_no_call() -> None:
    server = FakeMLServer()
    int64_input = Asked("", {"letters": np.array([97], np.int64)})
    assert sums(await Predictor(PaddedLetters(), server, 3)(MODEL, [*features("a"), int64_input])) == [97, 97]
    assert len(server.calls) == 2


@given(st.lists(st.text("abc", min_size=1, max_size=20), max_size=10))
@settings(deadline=None)
async def test_results_have_the_order_of_their_events(texts: list[str]) -> None:
    server = FakeMLServer()
    results = await Predictor(PaddedLetters(), server, 3)(MODEL, features(*texts))
    assert sums(results) == [sum(text.encode()) for text in texts]
    assert len(server.calls) == len({-(-len(text) // 4) for text in texts})


@given(st.lists(st.text("abX", min_size=1, max_size=6), max_size=8), st.integers(1, 3))
@settings(deadline=None)
async def test_a_refused_event_is_tried_alone_and_the_others_are_predicted(texts: list[str], attempts: int) -> None:
    server = FakeMLServer(error_for("X"))
    results = await Predictor(PaddedLetters(), server, attempts)(MODEL, features(*texts))
    assert sums(results) == ["model_refused" if "X" in text else sum(text.encode()) for text in texts]


@pytest.mark.parametrize("attempts", [1, 3, 7])
async def test_the_attempts_for_a_refused_event_are_bounded(attempts: int) -> None:
    server = FakeMLServer(error_for("X"))
    [first, refused, last] = await Predictor(PaddedLetters(), server, attempts)(MODEL, features("a", "X", "b"))
    assert server.calls == [(3, 4), (1, 4), *[(1, 4)] * attempts, (1, 4)]
    assert isinstance(refused, Rejected)
    assert str(refused) == f"refused {attempts} times, alone: no X"
    assert isinstance(first, PredictionResult)
    assert isinstance(last, PredictionResult)
    assert (first.batch_size, last.batch_size) == (1, 1)


async def test_an_event_that_is_accepted_at_its_last_attempt_is_predicted() -> None:
    errors = iter([RequestRefused("busy")] * 2)
    server = FakeMLServer(lambda _: next(errors, None))
    assert sums(await Predictor(PaddedLetters(), server, 3)(MODEL, features("a"))) == [97]
    assert len(server.calls) == 3


@pytest.mark.parametrize("texts", [["X"], ["a", "X"], ["X", "abcde"], ["X", "abcdX"]])
async def test_an_unavailable_model_raises_unavailable(texts: list[str]) -> None:
    predictor = Predictor(PaddedLetters(), FakeMLServer(error_for("X", Unavailable)), 3)
    with pytest.raises(Unavailable, match="no X"):
        await predictor(MODEL, features(*texts))


async def test_a_model_that_becomes_unavailable_between_attempts_raises_unavailable() -> None:
    errors = iter([RequestRefused("bad"), Unavailable("down")])
    with pytest.raises(Unavailable, match="down"):
        await Predictor(PaddedLetters(), FakeMLServer(lambda _: next(errors)), 3)(MODEL, features("a"))


class FaultyDecoding(PaddedLetters):
    """A task that can't decode an X."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def decode(self, outputs: Batch, inputs: Sequence[Asked]) -> list[Decoded]:
        decoded = super().decode(outputs, inputs)
        if any(prediction.output["sum"] == ord("X") for prediction in decoded):
            if self.fault == "bug":
                raise KeyError("bug")
            return decoded[1:]
        return decoded


@pytest.mark.parametrize(("fault", "reason"), [("bug", "KeyError: 'bug'"), ("fewer", "0 predictions of 1 events")])
async def test_outputs_that_cannot_be_decoded_reject_only_their_event(fault: str, reason: str) -> None:
    results = await Predictor(FaultyDecoding(fault), FakeMLServer(), 2)(MODEL, features("a", "X", "b"))
    assert sums(results) == [97, "model_refused", 98]
    assert reason in str(results[1])


async def test_cancellation_ends_a_prediction() -> None:
    class Slow(FakeMLServer):
        async def infer(self, model: ModelRef, batch: Batch) -> dict[str, NDArray[Any]]:
            self.calls.append(batch["letters"].shape)
            await asyncio.sleep(60)
            raise AssertionError

    server = Slow()
    prediction = asyncio.create_task(Predictor(PaddedLetters(), server, 3)(MODEL, features("a", "abcde")))
    while len(server.calls) < 2:
        await asyncio.sleep(0)
    prediction.cancel()
    with pytest.raises(asyncio.CancelledError):
        await prediction


arrays = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4), elements=st.just(1))


@given(st.lists(arrays, min_size=1, max_size=4))
def test_a_batch_is_padded_with_zeros_at_the_end_of_each_axis(tensors: list[NDArray[Any]]) -> None:
    class Square(Letters):
        def padded(self, shapes: Shapes) -> Shapes:
            return dict.fromkeys(shapes, (5, 4))

    batch = stack_inputs(Square(), [{"x": tensor} for tensor in tensors])["x"]
    assert (batch.dtype, batch.shape) == (np.dtype(np.int32), (len(tensors), 5, 4))
    for row, tensor in zip(batch, tensors, strict=True):
        height, width = tensor.shape
        np.testing.assert_array_equal(row[:height, :width], tensor)
        assert row.sum() == tensor.sum()


def test_scalar_inputs_are_stacked() -> None:
    batch = stack_inputs(Letters(), [{"x": np.float32(1)}, {"x": np.float32(2)}])  # type: ignore[dict-item]
    assert batch["x"].tolist() == [1, 2]


class HalvedLetters(Letters):
    """Its model gets the first half of the letters; `decode` uses the rest."""

    def inputs(self, features: Features) -> Features:
        return {"letters": features["letters"][: len(features["letters"]) // 2]}

    def decode(self, outputs: Batch, inputs: Sequence[Asked]) -> list[Decoded]:
        return [
            Decoded(
                {"sum": float(total), "last": int(event.features["letters"][-1]), "random": event.rng().random()}, 1.0
            )
            for total, event in zip(outputs["sum"], inputs, strict=True)
        ]


async def test_decoding_gets_all_features_and_a_random_generator_seeded_by_the_prediction() -> None:
    runs = [await Predictor(HalvedLetters(), FakeMLServer(), 3)(MODEL, features("ab", "ca")) for _ in range(2)]
    [[first, second], repeated] = [
        [result.prediction.output for result in results if isinstance(result, PredictionResult)] for results in runs
    ]
    assert [first, second] == repeated
    assert (first["sum"], first["last"]) == (97.0, 98)
    assert (second["sum"], second["last"]) == (99.0, 97)
    assert first["random"] != second["random"]
