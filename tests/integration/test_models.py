"""The registry by its commands and by HTTP: a version is registered, promoted, and rolled back."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.embedded.api_readiness import api_url
from app.events import topics
from app.settings import CHECKOUT
from tests.support.commands import CommandResult, run_command
from tests.support.invalid_events import invalid_records
from tests.support.kafka_clients import OutgoingRecord, open_topic_reader, publish
from tests.support.model_files import write_letters_model
from tests.support.stack import Stack

OCR_MODEL = CHECKOUT / "models/small/ocr/versions/1/model.onnx"
BODY = {"actor": "ada", "reason": "a test"}


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api_url(stack.settings), trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.json"
    path.write_text(json.dumps({"figures": {"right": 0.9}}))
    return path


async def run_models(stack: Stack, *words: object) -> CommandResult:
    return await run_command(stack.settings, sys.executable, "-m", "app.cli", "models", *map(str, words))


async def read_letters(http: httpx.AsyncClient) -> dict[str, Any]:
    """Return the versions and the route of the task `letters`."""
    tasks = (await http.get("/v1/models")).json()["models"]
    return dict(next(task for task in tasks if task["task"] == "letters"))


async def test_a_registered_version_serves_once_it_is_promoted_and_is_rolled_back(
    stack: Stack, http: httpx.AsyncClient, card: Path, tmp_path: Path
) -> None:
    model = write_letters_model(tmp_path, "registered by its commands")
    champion = (await read_letters(http))["route"]["champion"]
    done = await run_models(stack, "register", "letters", model, "--card", card, "--parent", "1", "--actor", "ada")
    assert done.code == 0, done.err
    version = done.out.strip()
    repeated = await run_models(stack, "register", "letters", model, "--card", card)
    assert repeated.out == done.out
    corrected_card = tmp_path / "corrected.json"
    corrected_card.write_text(json.dumps({"figures": {"right": 0.8}, "licence": "MIT"}))
    corrected = await run_models(stack, "register", "letters", model, "--card", corrected_card)
    assert corrected.out == done.out
    shown = await run_models(stack, "show", "letters", version)
    assert 'card         licence: "MIT"' in shown.out
    versions = (await read_letters(http))["versions"]
    [listed] = [entry for entry in versions if entry["version"] == version]
    assert listed.items() >= {"role": None, "parent": "1", "actor": "ada", "figures": {"right": 0.8}}.items()

    promoted = await run_models(stack, "promote", "letters", version, "--reason", "a test", "--json")
    assert json.loads(promoted.out)["route"]["champion"] == version
    async with open_topic_reader(stack.settings, topics.predictions("letters")) as answers:
        while json.loads(answers.records[-1].value)["model"]["version"] != version if answers.records else True:
            await publish(stack.settings, topics.requests("letters"), [OutgoingRecord(b"abc")])
            await answers.read_answers(len(answers.records) + 1)

    refused = await run_models(stack, "canary", "letters", version)
    assert (refused.code, refused.out) == (1, "")
    assert f"Version {version} is the champion." in refused.err
    rollback = await http.post(f"/v1/models/letters/{version}:rollback", json=BODY)
    assert (rollback.status_code, rollback.json()["route"]["champion"]) == (200, champion)


async def test_a_change_of_the_route_that_is_not_possible_is_refused_over_http(http: httpx.AsyncClient) -> None:
    champion = (await read_letters(http))["route"]["champion"]
    cases = {
        "/v1/models/none/1:promote": (404, "There is no task 'none'"),
        f"/v1/models/letters/{champion}:promote": (409, "is the champion already"),
        "/v1/models/letters/99:canary": (409, "letters has no version '99'"),
        "/v1/models/letters/1:drop": (422, "action"),
    }
    for path, (status, message) in cases.items():
        answer = await http.post(path, json=BODY)
        assert (answer.status_code, message in answer.json()["detail"]) == (status, True), answer.text
    assert (await http.post("/v1/models/letters/1:canary", json=BODY | {"share": 1.5})).status_code == 422


async def test_a_model_that_cannot_serve_the_task_is_not_registered(stack: Stack, card: Path, tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_text("no model")
    (tmp_path / "list.json").write_text("[]")
    cases = {
        (OCR_MODEL, card): "Export it with inputs that take letters uint8",
        (tmp_path / "no.onnx", card): "The model is not an ONNX file, or it is cut off or damaged",
        (write_letters_model(tmp_path, "its card is a list"), tmp_path / "list.json"): "is not a JSON object",
    }
    for (model, card_file), message in cases.items():
        done = await run_models(stack, "register", "letters", model, "--card", card_file)
        assert (done.code, message in done.err) == (1, True), done.err


async def test_invalid_events_on_lifecycle_stop_no_reader_and_write_nothing_outside_the_home(
    stack: Stack, http: httpx.AsyncClient
) -> None:
    for record in invalid_records("letters"):
        await publish(stack.settings, record.topic, [OutgoingRecord(record.value, record.key, record.headers)])
    before = (await read_letters(http))["route"]
    for process in ("mlserver", "worker", "api"):  # each reads the topic from its beginning when it starts
        stack.kill(process)
    await stack.supervisor.wait_ready(180)
    async with open_topic_reader(stack.settings, topics.predictions("letters")) as answers:
        await publish(stack.settings, topics.requests("letters"), [OutgoingRecord(b"abc")])
        [answer] = (await answers.read_answers(1)).values()
    assert answer["output"] == {"sum": 294.0}
    assert (await read_letters(http))["route"] == before
    assert (await http.get("/v1/retraining")).status_code == 200
    assert not [*stack.settings.home.parent.glob("escaped-run"), *stack.settings.home.parent.parent.glob("escaped-run")]
