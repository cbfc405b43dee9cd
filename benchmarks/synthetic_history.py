"""A synthetic history: requests to `ocr`, and the events that the platform would have logged for each.

The bytes of payloads and features are slices of random pools, so that they are cheap to make and all differ.
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
from models.small.ocr import Ocr

SOURCE = "benchmark"
FEEDBACK_SHARE = 0.08
"""The share of predictions that get feedback."""
EVENTS_PER_REQUEST = 3 + FEEDBACK_SHARE
HEIGHT, WIDTH = 24, 44
PAYLOAD_BYTES = (300, 3_000)
_DAY_MS = 86_400_000.0
_POOL_BYTES = 1 << 25
_TASK = Ocr()


def generate_history(requests: int, width: int = WIDTH, seed: int = 1) -> Iterator[tuple[Record, ...]]:
    """Yield the records of each request: request, features, prediction, and for some of them feedback.

    The requests are spread evenly over the last day. `width` is that of the feature images: 24 bytes for each column.
    """
    rng, numpy_rng = random.Random(seed), np.random.default_rng(seed)
    payloads = numpy_rng.bytes(_POOL_BYTES)
    ink = numpy_rng.integers(1, 256, _POOL_BYTES, np.uint8) * (numpy_rng.random(_POOL_BYTES, np.float32) < 0.3)
    start_ms, size = time.time() * 1000 - _DAY_MS, HEIGHT * width
    for number in range(requests):
        name, time_ms = str(uuid.UUID(int=rng.getrandbits(128))), start_ms + number * _DAY_MS / requests
        start, length = rng.randrange(_POOL_BYTES - PAYLOAD_BYTES[1]), rng.randint(*PAYLOAD_BYTES)
        image_start = rng.randrange(_POOL_BYTES - size)
        image = ink[image_start : image_start + size].reshape(HEIGHT, width)
        yield _request_records(rng, name, time_ms, payloads[start : start + length], image)


def publish_history(settings: Settings, events: int) -> int:
    """Publish a history of about so many events; return their exact number."""
    return asyncio.run(_publish(settings, events))


async def _publish(settings: Settings, events: int) -> int:
    count, confirmations = 0, []
    async with clients.create_producer(settings, max_batch_size=MiB // 2) as producer:
        batches = defaultdict[tuple[str, int], BatchBuilder](producer.create_batch)

        async def send(topic: str, partition: int) -> None:
            batch = batches.pop((topic, partition))
            confirmations.append(await producer.send_batch(batch, topic, partition=partition))

        for number, records in enumerate(generate_history(math.ceil(events / EVENTS_PER_REQUEST))):
            for record in records:
                partition, headers = (record.topic, number % settings.partitions), list(record.headers)
                while (
                    batches[partition].append(timestamp=None, key=record.key, value=record.value, headers=headers)
                    is None
                ):
                    await send(*partition)
                count += 1
        for partition in list(batches):
            await send(*partition)
        await asyncio.gather(*confirmations)
    return count


def _request_records(
    rng: random.Random,
    name: str,
    time_ms: float,
    payload: bytes,
    image: NDArray[np.uint8],
) -> tuple[Record, ...]:
    task, key, id = _TASK.name, name.encode(), prediction_id(_TASK.name, SOURCE, name)
    time = cloudevents.format_rfc3339(time_ms)
    request = Event(name, PredictionRequested.type, SOURCE, time, payload, content_type="image/png")
    data, declaration = tensors.encode({"image": image, "width": np.array(image.shape[1], np.int32)})
    extensions = {
        "requestid": name,
        "requestsource": SOURCE,
        "requestlogtime": str(round(time_ms)),
        "preprocessms": "0.8",
        "preprocessversion": _TASK.preprocess_version,
        "tensors": declaration,
    }
    features = Event(
        id, FeaturesExtracted.type, "hindsight/preprocess", time, data, content_type=TENSORS, extensions=extensions
    )
    text = f"{rng.randrange(10**8):08}"
    prediction = PredictionMade(
        prediction_id=id,
        request_id=name,
        task=task,
        model=ModelRef(name=task, version="3"),
        role="champion",
        output={"text": text},
        confidence=rng.uniform(0.5, 1.0),
        propensity=1.0,
        timings_ms={"queued": 2.1, "preprocess": 0.8, "inference": 3.4, "total": 6.3},
    )
    attributes = {"id": id, "source": "hindsight/inference", "time": time}
    records = (
        Record(topics.requests(task), key, payload, request.to_headers()),
        Record(topics.features(task), key, data, features.to_headers()),
        prediction.to_record(topics.predictions(task), key, **attributes, extensions={"requestsource": SOURCE}),
    )
    if rng.random() >= FEEDBACK_SHARE:
        return records
    correction = {"text": text[:-1] + rng.choice("0123456789")}
    feedback = FeedbackGiven(prediction_id=id, correction=correction, actor=f"person {rng.randrange(50)}")
    feedback_time = cloudevents.format_rfc3339(time_ms + 60_000)
    return (
        *records,
        feedback.to_record(topics.feedback(task), id.encode(), id=f"{name}-1", source=SOURCE, time=feedback_time),
    )
