"""Requests are answered in memory as on the platform, and each is answered wherever the process crashes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import RequestRefused, SetupError, Unconfirmed, Unpublishable
from app.events import topics
from app.events.base import ModelRef
from app.events.cloudevents import Record, header_text
from app.events.types import PredictionFailed, PredictionMade
from app.registry.shipped import shipped_versions
from app.templates.task import NewTask
from app.testing import Crash, InMemoryLog, run_pipeline
from tests.support.tasks import Letters

pytestmark = pytest.mark.usefixtures("impatient")

PAYLOADS = [b"abc", b"\xff", b"bug", b"refuse", b"z"]
ANSWERS: list[Any] = [{"sum": 294.0}, "not_ascii", "preprocess_error", "model_refused", {"sum": 122.0}]
RECORDS = 5 + 3 + 5 + 3  # requests, features, answers, dead letters


def summarize(answers: list[PredictionMade | PredictionFailed]) -> list[Any]:
    return [answer.output if isinstance(answer, PredictionMade) else answer.error.code for answer in answers]


async def test_requests_are_answered_in_their_order_by_the_newest_shipped_version() -> None:
    log = InMemoryLog()
    answers = await run_pipeline(Letters(), PAYLOADS, log=log)
    assert summarize(answers) == ANSWERS
    assert isinstance(answers[0], PredictionMade)
    assert answers[0].model == ModelRef(name="letters", version="2")
    assert len(log.read(topics.DEAD_LETTERS)) == 3
    assert len(log.records) == RECORDS


async def test_a_request_may_be_a_record_with_an_identity_of_its_own() -> None:
    headers = (("ce_id", b"7"), ("ce_source", b"shop"))
    request = Record(topics.requests("letters"), b"key", b"abc", headers)
    log = InMemoryLog()
    [answer, repeated] = await run_pipeline(Letters(), [request, request], log=log)
    assert answer == repeated
    assert answer.request_id == "7"
    [prediction, _] = log.read(topics.predictions("letters"))
    assert (prediction.key, header_text(prediction.headers, "ce_requestsource")) == (b"key", "shop")


async def test_a_version_or_a_stand_in_for_the_model_may_be_given() -> None:
    class Constant:
        async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            if len(batch["letters"]) > 1:
                raise RequestRefused("one at a time")
            return {"sum": np.array([7.0])}

    assert summarize(await run_pipeline(Letters(), [b"a", b"b"], model=Constant())) == [{"sum": 7.0}] * 2
    [answer] = await run_pipeline(Letters(), [b"a"], model=shipped_versions(Letters())["1"])
    assert isinstance(answer, PredictionMade)
    assert answer.model.version == "1"


async def test_a_task_without_a_version_needs_a_model() -> None:
    class Unshipped(NewTask):
        """Its folder, that of this file, has no versions."""

    with pytest.raises(SetupError, match="has no model"):
        await run_pipeline(Unshipped(), [b"Where?"])


async def test_a_claim_check_is_rejected_with_the_remedy() -> None:
    [answer] = await run_pipeline(Letters(), [b'{"uri": "blob://sha256/0"}'])
    assert isinstance(answer, PredictionFailed)
    assert answer.error.code == "blob_missing"
    assert "send the payload" in answer.error.reason


@pytest.mark.parametrize("point", range(RECORDS - len(PAYLOADS) + 1))
async def test_each_request_is_answered_once_by_id_wherever_the_process_crashes(point: int) -> None:
    log = InMemoryLog()
    log.fail(Crash(), skip=point)
    crashes = 0
    try:
        answers = await run_pipeline(Letters(), PAYLOADS, log=log)
    except Crash:
        crashes += 1
        answers = await run_pipeline(Letters(), log=log)
    assert crashes == (point < RECORDS - len(PAYLOADS))
    assert summarize(answers) == ANSWERS
    assert len({header_text(letter.headers, "rejected_event_id") for letter in log.read(topics.DEAD_LETTERS)}) == 3


@pytest.mark.parametrize("error", [OSError("lost"), Unconfirmed("too late")], ids=str)
async def test_each_request_is_answered_whatever_the_log_loses(error: Exception) -> None:
    log = InMemoryLog()
    log.fail(error, when=lambda record: len(log.attempts) % 2 == 1, times=20)
    assert summarize(await run_pipeline(Letters(), PAYLOADS, log=log)) == ANSWERS


async def test_a_request_whose_features_the_log_refuses_fails() -> None:
    log = InMemoryLog()
    log.fail(Unpublishable("too large"), when=lambda record: record.topic == topics.features("letters"))
    assert summarize(await run_pipeline(Letters(), [b"abc", b"z"], log=log)) == ["unpublishable", {"sum": 122.0}]
