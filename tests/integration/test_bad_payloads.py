"""A bad payload is dead-lettered and answered with its reason, and the good requests around it are predicted."""

import io
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import soundfile
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from numpy.typing import NDArray

from app import tasks
from app.events import topics
from app.events.ids import prediction_id
from app.settings import MiB
from models.decision import Decision
from models.small.ocr.data.lines import make_payloads
from tests.support.kafka_clients import OutgoingRecord, event_id, header_text, open_topic_reader, publish
from tests.support.stack import Stack

REQUESTS, PREDICTIONS = topics.requests("ocr"), topics.predictions("ocr")


def make_bomb(side: int = 10_000) -> bytes:
    """Return a small PNG file of 100 grey megapixels, all zero."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    compressed = zlib.compressobj(9)
    rows = io.BytesIO()
    for _ in range(side):
        rows.write(compressed.compress(bytes(side + 1)))
    rows.write(compressed.flush())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows.getvalue()) + chunk(b"IEND", b"")


async def test_bad_payloads_are_dead_letters_with_their_reason_and_their_neighbours_are_predicted(
    stack: Stack,
) -> None:
    good = [sample.payload for sample in make_payloads(20, seed=5)]
    bad: dict[str, tuple[OutgoingRecord, str]] = {
        "a text file": (OutgoingRecord(b"Dear Sir or Madam,\n", b"k1", [("x-mine", b"1")]), "not_an_image"),
        "a truncated PNG": (OutgoingRecord(good[0][: len(good[0]) // 2], b"k2"), "truncated"),
        "a 100-megapixel bomb": (OutgoingRecord(make_bomb(), b"k3"), "too_many_pixels"),
        "an empty value": (OutgoingRecord(b"", b"k4"), "empty"),
        "no value": (OutgoingRecord(None, b"k5"), "empty"),
        "garbage headers": (
            OutgoingRecord(good[1], b"k6", [("ce_id", b"\xff\xfe\x00"), ("ce_source", b"me")]),
            "bad_headers",
        ),
        "a claim to nothing": (OutgoingRecord(b'{"uri": "blob://sha256/%s"}' % (b"0" * 64), b"k8"), "blob_missing"),
    }
    records = [OutgoingRecord(payload) for payload in good[:10]]
    records += [record for record, _ in bad.values()]
    records += [OutgoingRecord(payload) for payload in good[10:]]
    async with (
        open_topic_reader(stack.settings, PREDICTIONS) as answers,
        open_topic_reader(stack.settings, topics.DEAD_LETTERS) as letters,
    ):
        await publish(stack.settings, REQUESTS, records)
        answers_by_id = await answers.read_answers(len(records))
        dead_letters = await letters.read_until(
            lambda records: len({header_text(letter, "rejected_id") for letter in records}) >= len(bad)
        )
    assert sum("error" not in answer for answer in answers_by_id.values()) == len(good)
    by_key = {letter.key: letter for letter in dead_letters}
    for name, (record, code) in bad.items():
        letter = by_key[record.key]
        assert header_text(letter, "rejected_code") == code, name
        assert (letter.value or b"") == (record.value or b""), name
        assert set(record.headers) <= set(letter.headers), name
        source, request = header_text(letter, "rejected_event_source"), header_text(letter, "rejected_event_id")
        answer = answers_by_id[prediction_id("ocr", source, request)]
        assert answer["error"]["code"] == code
        assert answer["error"]["reason"] == header_text(letter, "rejected_reason")
        assert answer["dead_letter"] == header_text(letter, "rejected_id")


def encode_wav(samples: NDArray[np.float32], subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype=subtype)
    return file.getvalue()


def make_wav_that_declares(seconds: int) -> bytes:
    """Return a short WAV whose header declares another length."""
    wav = encode_wav(np.zeros(1_600, np.float32))
    position = wav.index(b"data") + 4
    return wav[:position] + struct.pack("<I", seconds * 16_000 * 2) + wav[position + 4 :]


def make_decision_request(**changes: Any) -> bytes:
    """Return a shipped request for a decision, with changes."""
    return json.dumps(json.loads(Decision().samples()[0].payload) | changes).encode()


NOISE = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) / 10
OFFER = {"category": "books", "layout": "video", "price": 1, "discount": 0}
BAD_PAYLOADS: dict[str, dict[str, tuple[bytes, str]]] = {
    "speech_to_text": {
        "a WAV of zero length": (encode_wav(NOISE[:0]), "no_samples"),
        "a claim of 8 hours": (make_wav_that_declares(8 * 3600), "too_long"),
        "samples that are no numbers": (encode_wav(np.where(NOISE > 0.2, np.nan, NOISE), "FLOAT"), "not_finite"),
        "half of a file": (encode_wav(NOISE)[:9_000], "truncated"),
        "a text file": (b"Dear Sir or Madam,\n", "not_audio"),
    },
    "object_detection": {
        "a text file": (b"Dear Sir or Madam,\n", "not_an_image"),
        "a 100-megapixel bomb": (make_bomb(), "too_many_pixels"),
        "half of a file": (make_payloads(1, seed=6)[0].payload[:300], "truncated"),
    },
    "decision": {
        "a context without its features": (make_decision_request(context={"weather": "rain"}), "missing_feature"),
        "no actions": (make_decision_request(actions=[]), "no_actions"),
        "10,000 actions": (
            make_decision_request(actions=[{"id": str(n), **OFFER} for n in range(10_000)]),
            "too_many_actions",
        ),
        "a number that is none": (make_decision_request().replace(b'"hour": 3', b'"hour": NaN'), "not_finite"),
        "a text file": (b"Dear Sir or Madam,\n", "not_json"),
    },
}


@pytest.mark.parametrize("name", BAD_PAYLOADS)
async def test_bad_payloads_of_each_task_are_dead_letters_with_their_reason(stack: Stack, name: str) -> None:
    [good] = [sample.payload for sample in tasks.load_tasks(stack.settings)[name].samples()[:1]]
    bad = BAD_PAYLOADS[name]
    requests = [
        OutgoingRecord(good),
        *(OutgoingRecord(payload, str(key).encode()) for key, (payload, _) in enumerate(bad.values())),
        OutgoingRecord(good),
    ]
    async with (
        open_topic_reader(stack.settings, topics.predictions(name)) as answers,
        open_topic_reader(stack.settings, topics.DEAD_LETTERS) as letters,
    ):
        await publish(stack.settings, topics.requests(name), requests)
        answers_by_id = await answers.read_answers(len(requests))
        dead_letters = await letters.read_until(
            lambda records: len({header_text(letter, "rejected_id") for letter in records}) >= len(bad)
        )
    errors = [answer["error"] for answer in answers_by_id.values() if "error" in answer]
    assert sorted(error["code"] for error in errors) == sorted(code for _, code in bad.values())
    assert len(answers_by_id) - len(errors) == 2
    by_key = {letter.key: letter for letter in dead_letters}
    for key, (case, (payload, code)) in enumerate(bad.items()):
        letter = by_key[str(key).encode()]
        assert (letter.value, header_text(letter, "rejected_code")) == (payload, code), case
        assert header_text(letter, "rejected_reason"), case


async def test_a_message_of_20_mebibytes_fails_in_the_client_with_a_clear_error(stack: Stack) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stack.settings.bootstrap, max_request_size=64 * MiB)
    await producer.start()
    try:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(REQUESTS, bytes(20 * MiB))
    finally:
        await producer.stop()


async def test_a_request_that_the_model_refuses_is_tried_alone_then_dead_lettered_and_answered(stack: Stack) -> None:
    requests, predictions = topics.requests("letters"), topics.predictions("letters")
    async with (
        open_topic_reader(stack.settings, predictions) as answers,
        open_topic_reader(stack.settings, topics.DEAD_LETTERS) as letters,
    ):
        await publish(
            stack.settings,
            requests,
            [OutgoingRecord(b"abc", b"1"), OutgoingRecord(b"refuse", b"2"), OutgoingRecord(b"def", b"3")],
        )
        answers_by_id = await answers.read_answers(3)
        [letter] = await letters.read_until(bool)
    by_key = {record.key: answers_by_id[event_id(record)] for record in answers.records}
    assert by_key[b"1"]["output"] == {"sum": 294.0}
    assert by_key[b"3"]["output"] == {"sum": 303.0}
    assert by_key[b"2"]["error"]["code"] == header_text(letter, "rejected_code") == "model_refused"
    assert by_key[b"2"]["dead_letter"] == header_text(letter, "rejected_id")
    assert header_text(letter, "rejected_topic") == topics.features("letters")
