"""Dead letters go back to where they came from, after a fix."""

import hashlib
import json
from typing import Any

from app.events import topics
from app.events.ids import prediction_id
from app.storage.blob_store import blob_store
from models.ocr.data.lines import make_payloads
from tests.support.commands import run_command
from tests.support.kafka_clients import OutgoingRecord, event_id, header_text, open_topic_reader, publish
from tests.support.stack import Stack

REQUESTS, PREDICTIONS, FEEDBACK = topics.requests("ocr"), topics.predictions("ocr"), topics.feedback("ocr")


async def letters(stack: Stack, *words: str) -> list[dict[str, Any]]:
    """What `hindsight dead-letters` says in JSON."""
    done = await run_command(stack.settings, "hindsight", "dead-letters", *words, "--json")
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


async def test_a_request_whose_blob_comes_late_is_predicted_under_the_id_that_failed(stack: Stack) -> None:
    payload = make_payloads(1, seed=71)[0].payload
    claim = json.dumps({"uri": f"blob://sha256/{hashlib.sha256(payload).hexdigest()}"}).encode()
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        await publish(stack.settings, REQUESTS, [OutgoingRecord(claim, b"till-3", [("x-mine", b"1")])])
        [failed] = await answers.read_until(bool)
        unique = json.loads(failed.value)["dead_letter"]

        [listed] = [one for one in await letters(stack, "list", "--code", "blob_missing") if one["id"] == unique]
        [shown] = await letters(stack, "show", unique)
        blob_store(stack.settings).put(payload)
        replay = ("hindsight", "dead-letters", "replay")
        dry = await run_command(stack.settings, *replay, unique, "--dry-run")
        done = await run_command(stack.settings, *replay, unique, "--yes")
        made = (await answers.read_until(lambda read: len(read) >= 2))[1]

    assert (listed["stage"], listed["topic"], listed["replayed"]) == ("preprocess", REQUESTS, 0)
    assert prediction_id("ocr", listed["source"], listed["event_id"]) == event_id(failed)
    assert (shown["key"], shown["payload"]) == ("till-3", claim.decode())
    assert ["x-mine", "1"] in shown["headers"]
    assert (dry.code, dry.out) == (0, f"1 back to {REQUESTS}\nNothing was replayed.\n")
    assert done.code == 0, done.err
    assert header_text(made, "ce_type") == "hindsight.prediction.made.v1"
    assert event_id(made) == event_id(failed)
    assert made.key == b"till-3"

    [again] = [one for one in await letters(stack, "list") if one["id"] == unique]
    second = await run_command(stack.settings, *replay, unique, "--yes")
    assert again["replayed"] == 1
    assert second.out == "Nothing was replayed.\n"
    assert "1 were replayed before" in second.err


async def test_feedback_of_one_prediction_keeps_its_order_and_what_fails_again_is_a_new_letter(stack: Stack) -> None:
    about = prediction_id("ocr", "shop", "order-71")
    said = [{"prediction_id": about, "correction": {"wrong": n}, "actor": "ada"} for n in range(3)]
    async with (
        open_topic_reader(stack.settings, topics.DEAD_LETTERS) as rejected,
        open_topic_reader(stack.settings, FEEDBACK) as feedback,
    ):
        await publish(
            stack.settings, FEEDBACK, [OutgoingRecord(json.dumps(one).encode(), about.encode()) for one in said]
        )
        before = list(await rejected.read_until(lambda read: len(read) >= 3))
        later = header_text(before[1], "rejected_id")
        done = await run_command(stack.settings, "hindsight", "dead-letters", "replay", later, "--yes")
        assert done.code == 0, done.err
        published = await feedback.read_until(lambda read: len(read) >= 5)
        after = (await rejected.read_until(lambda read: len(read) >= 5))[3:]
    assert "1 earlier ones go first" in done.out
    assert [json.loads(record.value)["correction"]["wrong"] for record in published[3:]] == [0, 1]
    assert [record.value for record in after] == [record.value for record in before[:2]]
    assert not {header_text(record, "rejected_id") for record in before} & {
        header_text(record, "rejected_id") for record in after
    }
