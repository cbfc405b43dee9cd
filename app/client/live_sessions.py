"""Live streams with the Python client: send chunks as they come, and receive predictions of the stream so far.

async for prediction in live_sessions.predictions(hindsight, "speech_to_text", microphone()):
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
    """Yield predictions of the stream so far, each of more chunks than the one before, and last that of the session.

    The session's request has the id `session`; `attributes` are arguments of `Hindsight.send`. Raises
    `PredictionError` if the platform can't predict the session.
    """
    session = session or str(uuid.uuid4())
    session_prediction = ids.prediction_id(task, hindsight.source, session)
    last_chunks = {session_prediction: math.inf}
    """The last chunk that each expected prediction covers."""

    async def send() -> None:
        sequence = 0
        async for chunk in chunks:
            last_chunks[ids.prediction_id(task, hindsight.source, f"{session}/{sequence}")] = sequence
            await send_chunk(sequence, chunk)
            sequence += 1
        await send_chunk(sequence, b"", final="true")

    async def send_chunk(sequence: int, chunk: bytes, **marks: str) -> None:
        extensions = {"session": session, "sequence": str(sequence), **marks}
        await hindsight.send(task, chunk, key=session, extensions=extensions, **attributes)

    covered = -1.0
    sender = asyncio.create_task(send())
    try:
        async with aclosing(hindsight.answers(task)) as answers:
            while True:
                answer = await _next_answer(sender, answers)
                if last_chunks.get(answer.prediction_id, -1.0) <= covered:
                    continue
                if isinstance(answer, PredictionMade):
                    covered = last_chunks[answer.prediction_id]
                    yield answer
                elif answer.prediction_id == session_prediction:
                    raise PredictionError(answer)
                if answer.prediction_id == session_prediction:
                    return
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)


async def _next_answer(sender: asyncio.Task[None], answers: AsyncGenerator[Any, None]) -> Any:
    """Return the next answer. Raises the error of the sender if it fails meanwhile."""
    next_answer = asyncio.ensure_future(anext(answers))
    pending = {next_answer} if sender.done() else {next_answer, sender}
    try:
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if sender.done():
            sender.result()
        return await next_answer
    finally:
        next_answer.cancel()
        await asyncio.gather(next_answer, return_exceptions=True)
