"""The whole path of an event, with real handwriting: Kafka, Flink, Faust, MLServer, and back."""

import base64
import json
from statistics import mean

import httpx

from app.embedded.api_readiness import api_url
from app.events import topics
from app.events.cloudevents import Origin
from app.events.ids import prediction_id
from app.kafka.topic_ids import fetch_topic_ids
from models.small.ocr import Ocr
from models.small.ocr.data.lines import make_payloads
from tests.support.kafka_clients import OutgoingRecord, event_id, header_text, open_topic_reader, publish
from tests.support.stack import Stack

REQUESTS, PREDICTIONS = topics.requests("ocr"), topics.predictions("ocr")


async def test_2000_bare_png_files_are_predicted_exactly_once_each(stack: Stack) -> None:
    samples = make_payloads(2000, seed=1)
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        confirmations = await publish(stack.settings, REQUESTS, [OutgoingRecord(sample.payload) for sample in samples])
        answers_by_id = await answers.read_answers(2000)
    topic_id = (await fetch_topic_ids(stack.settings, [REQUESTS]))[REQUESTS]
    origins = [Origin(topic_id, REQUESTS, metadata.partition, metadata.offset, 0) for metadata in confirmations]
    ids = [prediction_id("ocr", f"kafka:{REQUESTS}", origin.id) for origin in origins]
    assert answers_by_id.keys() == set(ids)
    scores = [
        Ocr().score(answers_by_id[id]["output"], sample.correction) for id, sample in zip(ids, samples, strict=True)
    ]
    assert mean(scores) > 0.9


async def test_an_answer_has_the_wire_format_and_the_requests_key_subject_and_trace(stack: Stack) -> None:
    [sample] = make_payloads(1, seed=2)
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = [("ce_id", b"order-7"), ("ce_source", b"shop"), ("ce_subject", b"till 3"), ("traceparent", trace)]
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        await publish(stack.settings, REQUESTS, [OutgoingRecord(sample.payload, b"till-3", headers)])
        [record] = await answers.read_until(bool)
    prediction = json.loads(record.value)
    assert record.key == b"till-3"
    assert (header_text(record, "ce_subject"), header_text(record, "traceparent")) == ("till 3", trace.decode())
    assert header_text(record, "ce_type") == "hindsight.prediction.made.v1"
    assert header_text(record, "content-type") == "application/json"
    assert prediction["prediction_id"] == event_id(record) == prediction_id("ocr", "shop", "order-7")
    assert (prediction["request_id"], prediction["task"], prediction["role"]) == ("order-7", "ocr", "champion")
    assert prediction["model"] == {"name": "ocr", "version": "1"}
    assert prediction["propensity"] == 1.0
    assert 0 <= prediction["confidence"] <= 1
    assert prediction["output"].keys() == {"text"}
    times = prediction["timings_ms"]
    assert times.keys() == {"queued", "preprocess", "inference", "total"}
    assert abs(times["total"] - times["queued"] - times["preprocess"] - times["inference"]) < 0.01


async def test_a_redelivered_request_has_one_prediction_and_equal_ids_of_two_clients_have_two(stack: Stack) -> None:
    first, second = make_payloads(2, seed=3)
    here, there = ([("ce_id", b"1"), ("ce_source", source)] for source in (b"client/here", b"client/there"))
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        records = [OutgoingRecord(first.payload, headers=here), OutgoingRecord(second.payload, headers=there)]
        await publish(stack.settings, REQUESTS, [*records, records[0]])
        records = await answers.read_until(lambda records: len(records) >= 3)
    ids_by_source: dict[str, set[str]] = {}
    for record in records:
        ids_by_source.setdefault(header_text(record, "ce_requestsource"), set()).add(event_id(record))
    assert ids_by_source == {
        "client/here": {prediction_id("ocr", "client/here", "1")},
        "client/there": {prediction_id("ocr", "client/there", "1")},
    }


async def test_a_payload_may_come_as_json_or_by_claim_check(stack: Stack) -> None:
    [sample] = make_payloads(1, seed=4)
    async with httpx.AsyncClient(trust_env=False) as http:
        stored = await http.post(f"{api_url(stack.settings)}/v1/blobs", content=sample.payload)
    claim = json.dumps({"uri": stored.json()["uri"]}).encode()
    inline = json.dumps({"data_base64": base64.b64encode(sample.payload).decode()}).encode()
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        headers = [("content-type", b"application/json")]
        await publish(
            stack.settings,
            REQUESTS,
            [OutgoingRecord(sample.payload), OutgoingRecord(claim, headers=headers), OutgoingRecord(inline)],
        )
        answers_by_id = await answers.read_answers(3)
    assert len({answer["output"]["text"] for answer in answers_by_id.values()}) == 1


async def test_feedback_is_in_the_log_before_it_is_acknowledged(stack: Stack) -> None:
    id = prediction_id("ocr", "shop", "order-7")
    body = {"prediction_id": id, "correction": {"text": "123"}, "actor": "ada"}
    async with (
        open_topic_reader(stack.settings, topics.feedback("ocr")) as feedback,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        answer = await http.post(f"{api_url(stack.settings)}/v1/feedback", json=body)
        [record] = await feedback.read_until(bool)
    assert answer.status_code == 202
    assert answer.json()["id"] == event_id(record)
    assert record.key == id.encode()
    assert json.loads(record.value)["correction"] == {"text": "123"}
