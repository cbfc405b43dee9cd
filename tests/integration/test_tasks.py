"""Every task goes the same way: each payload comes back once, and what Flink makes of it is what any process makes."""

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

EXPECTED = {"ocr": 0.9, "speech_to_text": 0.8, "object_detection": 0.7, "decision": 0.2}
"""The mean score on the demonstration's payloads, at least; how good a model really is, its card says."""


@pytest.fixture(params=EXPECTED)
def task(stack: Stack, request: pytest.FixtureRequest) -> Task:
    return tasks.load_tasks(stack.settings)[request.param]


async def test_500_raw_payloads_come_back_exactly_once_with_the_features_that_are_made_offline(
    stack: Stack, task: Task
) -> None:
    requests, predictions = topics.requests(task.name), topics.predictions(task.name)
    samples = list(islice(task.demonstration(1), 500))
    async with (
        open_topic_reader(stack.settings, predictions) as answers,
        open_topic_reader(stack.settings, topics.features(task.name)) as made,
    ):
        places = await publish(stack.settings, requests, [OutgoingRecord(sample.payload) for sample in samples])
        said = await answers.read_answers(500)
        records = {
            event_id(one): one
            for one in await made.read_until(lambda read: len({event_id(one) for one in read}) >= 500)
        }
    epoch = (await fetch_topic_ids(stack.settings, [requests]))[requests]
    origins = [Origin(epoch, requests, place.partition, place.offset, 0) for place in places]
    ids = [prediction_id(task.name, f"kafka:{requests}", origin.id) for origin in origins]
    assert said.keys() == set(ids)
    assert len(answers.records) == 500
    for unique, sample in zip(ids, samples, strict=True):
        found = records[unique].value, header_text(records[unique], "ce_tensors")
        assert found == tensors.encode(task.preprocess(sample.payload))
    scores = [task.score(said[one]["output"], sample.correction) for one, sample in zip(ids, samples, strict=True)]
    assert mean(scores) > EXPECTED[task.name]
