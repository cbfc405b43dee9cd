"""Pages drawn by a real process."""

import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.preprocess.isolation.worker_process import WorkerProcess
from app.services.page_previews import PagePreviews
from app.services.payloads import Payload, PayloadNotFound
from app.settings import Settings
from models.base import Rejected
from tests.models.vision.test_previews import empty_pdf


class Payloads:
    """The payloads of predictions, by id."""

    def __init__(self, **contents: bytes) -> None:
        self.contents = contents

    async def read(self, prediction_id: str) -> Payload:
        if prediction_id not in self.contents:
            raise PayloadNotFound("it was erased")
        return Payload(self.contents[prediction_id], "application/pdf", "payload")


@pytest.fixture
def payloads() -> Payloads:
    return Payloads(one=empty_pdf((144, 72)), two=empty_pdf((72, 144), (72, 72)), text=b"not a page")


@pytest.fixture
async def previews(payloads: Any) -> AsyncIterator[PagePreviews]:
    previews = PagePreviews(Settings(preprocess_memory_mib=512), payloads)
    yield previews
    await previews.close()


def worker(previews: PagePreviews) -> WorkerProcess:
    assert previews._worker is not None
    return previews._worker


async def test_one_process_draws_the_pages_one_after_the_other(previews: PagePreviews) -> None:
    first, second = await previews.read("one", 0), await previews.read("two", 1)
    assert (first.pages, second.pages, round(second.width)) == (1, 2, 72)
    with pytest.raises(Rejected, match="no image file is known"):
        await previews.read("text", 0)
    assert (await previews.read("two", 0)).jpeg.startswith(b"\xff\xd8\xff")


async def test_a_page_is_drawn_once_and_gone_with_its_payload(previews: PagePreviews, payloads: Payloads) -> None:
    drawn = await previews.read("one", 0)
    assert await previews.read("one", 0) is drawn
    del payloads.contents["one"]
    with pytest.raises(PayloadNotFound):
        await previews.read("one", 0)


async def test_a_process_that_dies_refuses_its_page_alone(previews: PagePreviews) -> None:
    await previews.read("one", 0)
    os.kill(worker(previews)._process.pid, signal.SIGKILL)
    with pytest.raises(Rejected) as refusal:
        await previews.read("two", 0)
    assert refusal.value.code == "kills_process"
    assert (await previews.read("two", 0)).pages == 2


async def test_a_page_that_takes_too_long_is_refused(previews: PagePreviews) -> None:
    await previews.read("one", 0)
    worker(previews)._deadline_seconds = 1e-6
    with pytest.raises(Rejected) as refusal:
        await previews.read("two", 0)
    assert refusal.value.code == "preview_timeout"
