import asyncio
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from app.errors import RequestRefused, Unavailable
from app.events.base import ModelRef
from app.inference.mlserver.client import InferenceClient
from app.inference.predictor import PredictionResult, Predictor
from app.settings import Settings
from models.base import Asked, Rejected
from tests.support.platform import platform_settings
from tests.support.tasks import Letters

FIRST, SECOND, DOUBLING, MISSING = (ModelRef(name="letters", version=version) for version in "1239")
ABC = {"letters": np.array([[97, 98, 99]], np.uint8)}


async def test_versions_serve_side_by_side(client: InferenceClient) -> None:
    answers = await asyncio.gather(*(client.infer(model, ABC) for model in (FIRST, SECOND, DOUBLING)))
    assert [answer["sum"].tolist() for answer in answers] == [[294], [294], [588]]


async def test_the_batch_is_the_first_dimension(client: InferenceClient) -> None:
    batch = np.arange(15, dtype=np.uint8).reshape(5, 3)
    answer = await client.infer(FIRST, {"letters": batch})
    assert answer["sum"].tolist() == batch.sum(axis=1).tolist()
    assert answer["sum"].dtype == np.float32


async def test_a_view_with_strides_is_sent_in_order(client: InferenceClient) -> None:
    batch = np.arange(12, dtype=np.uint8).reshape(3, 4).T
    assert (await client.infer(FIRST, {"letters": batch}))["sum"].tolist() == batch.sum(axis=1).tolist()


async def test_a_large_batch_fits(client: InferenceClient) -> None:
    batch = np.ones((16, 1024 * 1024), np.uint8)
    assert (await client.infer(FIRST, {"letters": batch}))["sum"].tolist() == [1024 * 1024] * 16


async def test_concurrent_calls_get_their_own_answers(client: InferenceClient) -> None:
    async def is_answer_correct(number: int) -> bool:
        batch = np.full((1, 3), number, np.uint8)
        return bool((await client.infer(FIRST, {"letters": batch}))["sum"].tolist() == [3 * number])

    assert all(await asyncio.gather(*(is_answer_correct(number) for number in range(50))))


async def test_a_version_that_is_not_loaded_is_unavailable(client: InferenceClient) -> None:
    assert not await client.serves(MISSING)
    with pytest.raises(Unavailable, match="letters-9"):
        await client.infer(MISSING, ABC)


async def test_a_version_of_another_entry_is_not_served(client: InferenceClient) -> None:
    assert await client.serves(FIRST)
    assert not await client.serves(ModelRef(name="letters-1", version="2"))


async def test_waiting_returns_once_the_version_is_served(client: InferenceClient) -> None:
    async with asyncio.timeout(60):
        await client.wait(FIRST)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.wait(MISSING)


async def test_a_server_that_is_down_is_unavailable(tmp_path: Path) -> None:
    async with InferenceClient(platform_settings(tmp_path)) as client:
        assert not await client.serves(FIRST)
        with pytest.raises(Unavailable, match="UNAVAILABLE"):
            await client.infer(FIRST, ABC)


async def test_a_server_that_hangs_is_unavailable_until_it_answers_again(
    mlserver_process: tuple[Settings, subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, process = mlserver_process
    monkeypatch.setattr("app.inference.mlserver.client._HEALTH_SECONDS", 0.3)
    async with InferenceClient(config.model_copy(update={"inference_deadline_seconds": 0.3})) as client:
        process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match="DEADLINE_EXCEEDED"):
                await client.infer(FIRST, ABC)
        finally:
            process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(60):
            await client.wait(FIRST)
    async with InferenceClient(config) as client:
        assert (await client.infer(FIRST, ABC))["sum"].tolist() == [294]


async def test_an_event_that_the_model_refuses_fails_alone(client: InferenceClient) -> None:
    valid = [Asked("", {"letters": np.frombuffer(text, np.uint8)}) for text in (b"a", b"b", b"cc")]
    invalid = Asked("", {"letters": np.zeros((1, 1), np.uint8)})
    results = await Predictor(Letters(), client, 2)(FIRST, [*valid, invalid])
    predictions = [result.prediction for result in results if isinstance(result, PredictionResult)]
    assert [prediction.output["sum"] for prediction in predictions] == [97, 98, 198]
    assert isinstance(results[3], Rejected)
    assert "refused 2 times, alone" in str(results[3])


async def test_a_refusal_is_not_unavailability(client: InferenceClient) -> None:
    with pytest.raises(RequestRefused, match="INVALID_ARGUMENT"):
        await client.infer(FIRST, {"letters": np.zeros((1, 2), np.float32)})
