"""Corrections that answer near-repeats: other copies of a corrected input."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.events.types import PredictionMade
from app.inference.handler import InferenceHandler
from app.inference.memory import CorrectionMemory
from app.inference.near_inputs import encode_key
from app.registry.routes import Route
from app.settings import Settings, TaskSettings
from models.base import Features
from tests.app.inference.test_memory import NOW, FakeMLServer, digest, features, outcome
from tests.support.sum_task import SumTask

ABC = 294.0


class NearSumTask(SumTask):
    """Takes texts of one length whose letters are at most two apart for copies."""

    near_bound = 2

    def near_key(self, features: Features, output: Mapping[str, Any]) -> NDArray[np.uint8] | None:
        return features["letters"] if len(features["letters"]) == 3 else None


def remembered(*corrections: tuple[bytes, float, float], near: bool = True) -> CorrectionMemory:
    """Return the memory of payloads with the model's own sum and the corrected one."""
    settings = TaskSettings.model_validate({"correction_memory": {"near": near, "capacity": 3}})
    memory = CorrectionMemory(NearSumTask(), settings, lambda version: None, lambda: NOW)
    for number, (payload, own, label) in enumerate(corrections):
        key = encode_key(np.frombuffer(payload, np.uint8))
        own_fields = {"output": {"sum": own}, "input_digest": digest(payload), "near_key": key}
        memory.apply(outcome(label, str(number), minutes=9 - number, payload=payload, **own_fields))
    memory.is_complete = True
    return memory


async def answer(memory: CorrectionMemory, payload: bytes) -> PredictionMade:
    async def champion() -> Route:
        return Route("1")

    handler = InferenceHandler(Settings(), NearSumTask(), champion, FakeMLServer, memory)
    [[record]] = await handler([features(payload, "new")])  # type: ignore[misc]
    return PredictionMade.model_validate_json(record.value or b"")


async def test_a_correction_answers_another_copy_for_which_the_model_answers_the_same_and_it_is_marked() -> None:
    served = await answer(remembered((b"abc", ABC, 7.0)), b"bac")  # sums equal, letters one apart
    assert served.output == {"sum": 7.0}
    assert served.memory is not None
    assert (served.memory.near_distance, served.memory.output) == (1, {"sum": ABC})
    assert served.propensity == 1.0
    assert served.confidence == pytest.approx(2 / 3)


async def test_an_equal_input_has_no_distance() -> None:
    served = await answer(remembered((b"abc", ABC, 7.0)), b"abc")
    assert served.memory is not None
    assert served.memory.near_distance is None


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"bbc", "the model answers otherwise"),
        (b"d`b", "a letter is three apart"),
        (b"bacd", "it has no key"),
    ],
)
async def test_the_model_answers_what_is_not_near(payload: bytes, why: str) -> None:
    assert (await answer(remembered((b"abc", ABC, 7.0)), payload)).memory is None, why


async def test_the_nearest_of_corrections_that_agree_answers_and_none_of_those_that_do_not() -> None:
    agreeing = await answer(remembered((b"cba", ABC, 7.0), (b"abc", ABC, 7.0)), b"bac")
    assert agreeing.memory is not None
    assert (agreeing.memory.near_distance, agreeing.memory.outcome) == (1, "outcome of 1 8 minutes ago")
    assert (await answer(remembered((b"cba", ABC, 8.0), (b"abc", ABC, 7.0)), b"bac")).memory is None


async def test_a_label_that_confirms_the_model_on_one_copy_keeps_the_correction_of_another_from_answering() -> None:
    assert (await answer(remembered((b"cba", ABC, ABC), (b"abc", ABC, 7.0)), b"bac")).memory is None


async def test_what_is_known_of_the_input_itself_counts_more() -> None:
    assert (await answer(remembered((b"abc", ABC, 7.0), (b"bac", ABC, ABC)), b"bac")).memory is None


async def test_an_input_that_is_forgotten_answers_no_copies() -> None:
    others = [(payload, 0.0, 1.0) for payload in (b"xxx", b"yyy", b"zzz")]
    assert (await answer(remembered((b"abc", ABC, 7.0), *others), b"bac")).memory is None


async def test_near_repeats_and_keys_are_off_by_default() -> None:
    assert TaskSettings.model_validate({"correction_memory": {}}).correction_memory.near is False  # type: ignore[union-attr]
    served = await answer(remembered((b"abc", ABC, 7.0), near=False), b"bac")
    assert (served.memory, served.near_key) == (None, None)
    assert (await answer(remembered(), b"bac")).near_key is not None


async def test_a_key_that_cannot_be_read_is_no_key() -> None:
    memory = remembered()
    memory.apply(outcome(7.0, near_key="3:nonsense"))
    assert (await answer(memory, b"bac")).memory is None
    assert (await answer(memory, b"abc")).memory is not None
