"""Every task on the platform: each payload is answered once, and Flink's features equal those of any process."""

from itertools import islice
from statistics import mean

import pytest

from app import tasks
from app.events import topics
from app.events.cloudevents import Origin
from app.events.ids import prediction_id
from app.kafka.topic_ids import fetch_topic_ids
from models import tensors
from models.base import Task
from tests.support.kafka_clients import OutgoingRecord, event_id, header_text, open_topic_reader, publish
from tests.support.stack import Stack

MIN_SCORES = {"ocr": 0.9, "speech_to_text": 0.8, "object_detection": 0.7, "decision": 0.2}
"""The least mean score on the payloads of the demonstration."""


@pytest.fixture(params=MIN_SCORES)
def task(stack: Stack, request: pytest.FixtureRequest) -> Task:
    return tasks.load_tasks(stack.settings)[request.param]


async def test_500_raw_payloads_are_answered_exactly_once_with_the_features_that_are_computed_offline(
    stack: Stack, task: Task
) -> None:
    requests, predictions = topics.requests(task.name), topics.predictions(task.name)
    samples = list(islice(task.demonstration(1), 500))
    async with (
        open_topic_reader(stack.settings, predictions) as answers,
        open_topic_reader(stack.settings, topics.features(task.name)) as features,
    ):
        confirmations = await publish(stack.settings, requests, [OutgoingRecord(sample.payload) for sample in samples])
        answers_by_id = await answers.read_answers(500)
        await features.read_until(lambda records: len({event_id(record) for record in records}) >= 500)
    features_by_id = {event_id(record): record for record in features.records}
    topic_id = (await fetch_topic_ids(stack.settings, [requests]))[requests]
    origins = [Origin(topic_id, requests, metadata.partition, metadata.offset, 0) for metadata in confirmations]
    ids = [prediction_id(task.name, f"kafka:{requests}", origin.id) for origin in origins]
    assert answers_by_id.keys() == set(ids)
    assert len(answers.records) == 500
    for id, sample in zip(ids, samples, strict=True):
        record = features_by_id[id]
        assert (record.value, header_text(record, "ce_tensors")) == tensors.encode(task.preprocess(sample.payload))
    scores = [
        task.score(answers_by_id[id]["output"], sample.correction) for id, sample in zip(ids, samples, strict=True)
    ]
    assert mean(scores) > MIN_SCORES[task.name]
