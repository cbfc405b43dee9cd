"""A live stream by the Python client: its chunks go out as they come, and what is heard so far comes back.

async for prediction in live.predictions(hindsight, "speech_to_text", microphone()):
    print(prediction.output["text"])
"""

import asyncio
import math
import uuid
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import Any

from app.client import Hindsight, PredictionError
from app.events import ids
from app.events.types import PredictionMade


async def predictions(
    hindsight: Hindsight, task: str, chunks: AsyncIterable[bytes], *, session: str | None = None, **attributes: Any
) -> AsyncGenerator[PredictionMade, None]:
    """Predictions of what has come so far, each of more than the one before, and at last the whole's.

    The whole's request has the id `session`; `attributes` are those of `Hindsight.send`. Raises `PredictionFailed` if
    there can be none of the whole.
    """
    session = session or str(uuid.uuid4())
    whole = ids.prediction_id(task, hindsight.source, session)
    reach = {whole: math.inf}
    """Of each prediction that may come, the last chunk that it has heard."""

    async def send() -> None:
        sequence = 0
        async for chunk in chunks:
            reach[ids.prediction_id(task, hindsight.source, f"{session}/{sequence}")] = sequence
            await send_one(sequence, chunk)
            sequence += 1
        await send_one(sequence, b"", final="true")

    async def send_one(sequence: int, chunk: bytes, **marks: str) -> None:
        extensions = {"session": session, "sequence": str(sequence), **marks}
        await hindsight.send(task, chunk, key=session, extensions=extensions, **attributes)

    heard = -1.0
    sending = asyncio.create_task(send())
    try:
        async with aclosing(hindsight.answers(task)) as answers:
            while True:
                answer = await _next_or_raise(sending, answers)
                if reach.get(answer.prediction_id, -1.0) <= heard:
                    continue
                if isinstance(answer, PredictionMade):
                    heard = reach[answer.prediction_id]
                    yield answer
                elif answer.prediction_id == whole:
                    raise PredictionError(answer)
                if answer.prediction_id == whole:
                    return
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _next_or_raise(sending: asyncio.Task[None], answers: AsyncGenerator[Any, None]) -> Any:
    """The next answer, or the error of the sending."""
    coming = asyncio.ensure_future(anext(answers))
    try:
        await asyncio.wait({coming, sending} if not sending.done() else {coming}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
        return await coming
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
