"""A history, made up: requests to `ocr`, and what the platform would have logged of each.

The bytes of images and features are drawn once and cut in slices, so that they are quickly made and yet all differ.
"""

import asyncio
import math
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from aiokafka.producer.message_accumulator import BatchBuilder
from numpy.typing import NDArray

from app.events import cloudevents, topics
from app.events.base import ModelRef
from app.events.cloudevents import TENSORS, Event, Record
from app.events.ids import prediction_id
from app.events.types import FeaturesExtracted, FeedbackGiven, PredictionMade, PredictionRequested
from app.kafka import clients
from app.settings import MiB, Settings
from models import tensors
from models.ocr import Ocr

SOURCE = "benchmark"
FEEDBACK_SHARE = 0.08
"""The share of predictions that somebody says something of."""
EVENTS_PER_REQUEST = 3 + FEEDBACK_SHARE
HEIGHT, WIDTH = 24, 44
PAYLOAD_BYTES = (300, 3_000)
_DAY_MS = 86_400_000.0
_POOL_BYTES = 1 << 25
_TASK = Ocr()


def generate_history(requests: int, width: int = WIDTH, seed: int = 1) -> Iterator[tuple[Record, ...]]:
    """Request, features, prediction and at times feedback, for each request; together a day of so many.

    `width` is that of the images which the features are: 24 bytes for each pixel of it.
    """
    chance, noise = random.Random(seed), np.random.default_rng(seed)
    payloads = noise.bytes(_POOL_BYTES)
    ink = noise.integers(1, 256, _POOL_BYTES, np.uint8) * (noise.random(_POOL_BYTES, np.float32) < 0.3)
    began, size = time.time() * 1000 - _DAY_MS, HEIGHT * width
    for number in range(requests):
        name, when = str(uuid.UUID(int=chance.getrandbits(128))), began + number * _DAY_MS / requests
        start, length = chance.randrange(_POOL_BYTES - PAYLOAD_BYTES[1]), chance.randint(*PAYLOAD_BYTES)
        at = chance.randrange(_POOL_BYTES - size)
        image = ink[at : at + size].reshape(HEIGHT, width)
        yield _request_records(chance, name, when, payloads[start : start + length], image)


def publish_history(settings: Settings, events: int) -> int:
    """Write a history of about so many events into the log; how many these were."""
    return asyncio.run(_publish(settings, events))


async def _publish(settings: Settings, events: int) -> int:
    count, sent = 0, []
    async with clients.create_producer(settings, max_batch_size=MiB // 2) as producer:
        batches = defaultdict[tuple[str, int], BatchBuilder](producer.create_batch)

        async def send(topic: str, partition: int) -> None:
            sent.append(await producer.send_batch(batches.pop((topic, partition)), topic, partition=partition))

        for number, records in enumerate(generate_history(math.ceil(events / EVENTS_PER_REQUEST))):
            for one in records:
                place, headers = (one.topic, number % settings.partitions), list(one.headers)
                while batches[place].append(timestamp=None, key=one.key, value=one.value, headers=headers) is None:
                    await send(*place)
                count += 1
        for place in list(batches):
            await send(*place)
        await asyncio.gather(*sent)
    return count


def _request_records(
    chance: random.Random,
    name: str,
    when: float,
    payload: bytes,
    image: NDArray[np.uint8],
) -> tuple[Record, ...]:
    task, key, unique = _TASK.name, name.encode(), prediction_id(_TASK.name, SOURCE, name)
    moment = cloudevents.format_rfc3339(when)
    asked = Event(name, PredictionRequested.type, SOURCE, moment, payload, content_type="image/png")
    data, declared = tensors.encode({"image": image, "width": np.array(image.shape[1], np.int32)})
    said = {"requestid": name, "requestsource": SOURCE, "requestlogtime": str(round(when)), "preprocessms": "0.8"}
    said |= {"preprocessversion": _TASK.preprocess_version, "tensors": declared}
    extracted = Event(
        unique, FeaturesExtracted.type, "hindsight/preprocess", moment, data, content_type=TENSORS, extensions=said
    )
    text = f"{chance.randrange(10**8):08}"
    made = PredictionMade(
        prediction_id=unique,
        request_id=name,
        task=task,
        model=ModelRef(name=task, version="3"),
        role="champion",
        output={"text": text},
        confidence=chance.uniform(0.5, 1.0),
        propensity=1.0,
        timings_ms={"queued": 2.1, "preprocess": 0.8, "inference": 3.4, "total": 6.3},
    )
    attributes = {"id": unique, "source": "hindsight/inference", "time": moment}
    records = (
        Record(topics.requests(task), key, payload, asked.to_headers()),
        Record(topics.features(task), key, data, extracted.to_headers()),
        made.to_record(topics.predictions(task), key, **attributes, extensions={"requestsource": SOURCE}),
    )
    if chance.random() >= FEEDBACK_SHARE:
        return records
    correction = {"text": text[:-1] + chance.choice("0123456789")}
    given = FeedbackGiven(prediction_id=unique, correction=correction, actor=f"person {chance.randrange(50)}")
    later = cloudevents.format_rfc3339(when + 60_000)
    return (
        *records,
        given.to_record(topics.feedback(task), unique.encode(), id=f"{name}-1", source=SOURCE, time=later),
    )
