"""Files as they occur in practice are answered, and so are the good requests around them."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

import pytest

from app import tasks
from app.events import topics
from app.events.ids import prediction_id
from app.settings import CHECKOUT
from tests.support.kafka_clients import OutgoingRecord, event_id, open_topic_reader, publish
from tests.support.sample_files import PICTURES, SOUNDS
from tests.support.stack import Stack

GOOD = 20
SOURCE = "inputs"
TASKS = ("ocr", "speech_to_text", "object_detection", "decision")
NO_PAYLOADS = {"samples.json", "clips.json", "held_out_digits.npz"}

DECISIONS: dict[str, Callable[[], bytes]] = {
    "no object": lambda: b"[]",
    "deeply nested": lambda: b"[" * 10_000 + b"]" * 10_000,
    "a byte order mark": lambda: b"\xef\xbb\xbf" + shipped_files("decision")["offers-00.json"],
    "UTF-16": lambda: shipped_files("decision")["offers-00.json"].decode().encode("utf-16"),
}
ODD_FILES = {"ocr": PICTURES, "object_detection": PICTURES, "speech_to_text": SOUNDS, "decision": DECISIONS}


def shipped_files(task: str) -> dict[str, bytes]:
    """Return the sample files of a task."""
    folder = CHECKOUT / ("models" if task == "decision" else "models/small") / task / "samples"
    files = sorted(folder.iterdir())
    return {file.name: file.read_bytes() for file in files if file.name not in NO_PAYLOADS}


def make_requests(payloads: Iterable[tuple[str, bytes]], test: str) -> list[OutgoingRecord]:
    """Return requests whose ids have the names of the payloads."""
    return [
        OutgoingRecord(payload, name.encode(), [("ce_source", SOURCE.encode()), ("ce_id", f"{test}/{name}".encode())])
        for name, payload in payloads
    ]


async def publish_and_read(
    stack: Stack, test: str, files_by_task: dict[str, dict[str, bytes]]
) -> dict[str, dict[str, Any]]:
    """Publish the files of each task among good requests; return the answer to each file, by task and name.

    Fail unless all are answered, the good ones with a prediction.
    """
    requests: dict[str, dict[str, bytes]] = {}
    for task, files in files_by_task.items():
        samples = islice(tasks.load_tasks(stack.settings)[task].demonstration(7), GOOD)
        good = [(f"good {number}", sample.payload) for number, sample in enumerate(samples)]
        requests[task] = dict([*good[: GOOD // 2], *files.items(), *good[GOOD // 2 :]])
    expected = {
        prediction_id(task, SOURCE, f"{test}/{name}"): (task, name)
        for task, files in requests.items()
        for name in files
    }
    answers: dict[tuple[str, str], dict[str, Any]] = {}
    async with open_topic_reader(stack.settings, *map(topics.predictions, files_by_task)) as log:
        for task, files in requests.items():
            await publish(stack.settings, topics.requests(task), make_requests(files.items(), test))
        with suppress(AssertionError):  # its message does not name the files; the assertion below does
            await log.read_until(lambda records: expected.keys() <= {event_id(record) for record in records})
        for record in log.records:
            if (key := expected.get(event_id(record))) is not None:
                answers.setdefault(key, json.loads(record.value))
    assert set(expected.values()) - answers.keys() == set(), "these are not answered"
    for (task, name), answer in answers.items():
        assert "output" in answer or (answer["error"]["code"] and answer["error"]["reason"]), (task, name)
        assert "output" in answer or not name.startswith("good "), (task, name, answer)
    return {f"{task}/{name}": answer for (task, name), answer in answers.items()}


@pytest.mark.parametrize("task", TASKS)
async def test_every_shipped_sample_is_answered_with_a_prediction(stack: Stack, task: str) -> None:
    files = shipped_files(task)
    answers = await publish_and_read(stack, "shipped", {task: files})
    assert files
    assert [name for name in files if "output" not in answers[f"{task}/{name}"]] == []


async def test_odd_files_are_answered_and_delay_no_good_request(stack: Stack) -> None:
    files = {task: {name: make() for name, make in ODD_FILES[task].items()} for task in TASKS}
    await publish_and_read(stack, "odd", files)
