"""Dead letters are redelivered to their topic after a fix."""

import hashlib
import json
from typing import Any

from app.events import topics
from app.events.ids import prediction_id
from app.storage.blob_store import blob_store
from models.small.ocr.data.lines import make_payloads
from tests.support.commands import run_command
from tests.support.kafka_clients import OutgoingRecord, event_id, header_text, open_topic_reader, publish
from tests.support.stack import Stack

REQUESTS, PREDICTIONS, FEEDBACK = topics.requests("ocr"), topics.predictions("ocr"), topics.feedback("ocr")


async def dead_letters(stack: Stack, *words: str) -> list[dict[str, Any]]:
    """Return the JSON output of `hindsight dead-letters`."""
    done = await run_command(stack.settings, "hindsight", "dead-letters", *words, "--json")
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


async def test_a_redelivered_request_whose_blob_was_missing_is_predicted_under_the_same_id(stack: Stack) -> None:
    payload = make_payloads(1, seed=71)[0].payload
    claim = json.dumps({"uri": f"blob://sha256/{hashlib.sha256(payload).hexdigest()}"}).encode()
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        await publish(stack.settings, REQUESTS, [OutgoingRecord(claim, b"till-3", [("x-mine", b"1")])])
        [failed] = await answers.read_until(bool)
        id = json.loads(failed.value)["dead_letter"]

        missing = await dead_letters(stack, "list", "--code", "blob_missing")
        [listed] = [letter for letter in missing if letter["id"] == id]
        [shown] = await dead_letters(stack, "show", id)
        blob_store(stack.settings).put(payload)
        replay = ("hindsight", "dead-letters", "replay")
        dry_run = await run_command(stack.settings, *replay, id, "--dry-run")
        done = await run_command(stack.settings, *replay, id, "--yes")
        prediction = (await answers.read_until(lambda records: len(records) >= 2))[1]

    assert (listed["stage"], listed["topic"], listed["replayed"]) == ("preprocess", REQUESTS, 0)
    assert prediction_id("ocr", listed["source"], listed["event_id"]) == event_id(failed)
    assert (shown["key"], shown["payload"]) == ("till-3", claim.decode())
    assert ["x-mine", "1"] in shown["headers"]
    assert (dry_run.code, dry_run.out) == (0, f"1 back to {REQUESTS}\nNothing was replayed.\n")
    assert done.code == 0, done.err
    assert header_text(prediction, "ce_type") == "hindsight.prediction.made.v1"
    assert event_id(prediction) == event_id(failed)
    assert prediction.key == b"till-3"

    [redelivered] = [letter for letter in await dead_letters(stack, "list") if letter["id"] == id]
    second = await run_command(stack.settings, *replay, id, "--yes")
    assert redelivered["replayed"] == 1
    assert second.out == "Nothing was replayed.\n"
    assert "1 were replayed before" in second.err


async def test_redelivered_feedback_keeps_its_order_and_what_fails_again_is_a_new_dead_letter(stack: Stack) -> None:
    id = prediction_id("ocr", "shop", "order-71")
    bad_feedback = [{"prediction_id": id, "correction": {"wrong": number}, "actor": "ada"} for number in range(3)]
    async with (
        open_topic_reader(stack.settings, topics.DEAD_LETTERS) as rejected,
        open_topic_reader(stack.settings, FEEDBACK) as feedback,
    ):
        await publish(
            stack.settings, FEEDBACK, [OutgoingRecord(json.dumps(data).encode(), id.encode()) for data in bad_feedback]
        )
        before = list(await rejected.read_until(lambda records: len(records) >= 3))
        later = header_text(before[1], "rejected_id")
        done = await run_command(stack.settings, "hindsight", "dead-letters", "replay", later, "--yes")
        assert done.code == 0, done.err
        published = await feedback.read_until(lambda records: len(records) >= 5)
        after = (await rejected.read_until(lambda records: len(records) >= 5))[3:]
    assert "1 earlier ones go first" in done.out
    assert [json.loads(record.value)["correction"]["wrong"] for record in published[3:]] == [0, 1]
    assert [record.value for record in after] == [record.value for record in before[:2]]
    assert not {header_text(record, "rejected_id") for record in before} & {
        header_text(record, "rejected_id") for record in after
    }
