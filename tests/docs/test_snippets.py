"""The snippets of the README and the manual, run as they stand, page by page, on the real stack.

Those of CONTRIBUTING.md are `tests.support.walkthrough`'s.
"""

import json
import sys
from pathlib import Path

import pytest

from app.events import topics
from app.events.ids import prediction_id
from app.settings import CHECKOUT
from tests.support import tools
from tests.support.archive import wait_until_archived
from tests.support.commands import run_command
from tests.support.documents import MANUAL, README, Snippet, snippets
from tests.support.kafka_clients import event_id, open_topic_reader
from tests.support.stack import Stack

SNIPPETS = [snippet for page in (README, *MANUAL) for snippet in snippets(page)]


def test_the_readme_and_the_manual_have_snippets() -> None:
    languages = {(snippet.page == "README", snippet.language) for snippet in SNIPPETS}
    assert languages == {(page, language) for page in (True, False) for language in ("python", "sh")}


@pytest.fixture(scope="module")
def folder(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place like the checkout, where snippets may leave files."""
    place = tmp_path_factory.mktemp("reader")
    (place / ".hindsight").symlink_to(stack.settings.home)
    (place / "models").symlink_to(CHECKOUT / "models")
    return place


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.name)
async def test_a_snippet_runs(stack: Stack, folder: Path, snippet: Snippet) -> None:
    if "kcat" in snippet.code:
        tools.require_programs("kcat")
    settings = stack.settings
    code = snippet.code.replace(":9092", f":{settings.kafka_port}").replace(":8000", f":{settings.api_port}")
    if "DeltaTable" in code:
        await wait_until_archived(settings, topics.predictions("ocr"))
    words = [sys.executable, "-c", code] if snippet.language == "python" else ["bash", "-euo", "pipefail", "-c", code]
    done = await run_command(settings, *words, cwd=folder)
    assert done.code == 0, done.err
    assert done.out or "> claim.json" in code


@pytest.mark.needs("kcat")
async def test_the_snippets_requests_were_answered_and_corrected(stack: Stack) -> None:
    by_kcat, by_claim = (prediction_id("ocr", "my-shop", name) for name in ("order-7", "order-8"))
    async with open_topic_reader(stack.settings, topics.predictions("ocr"), from_beginning=True) as answers:
        await answers.read_until(lambda read: {by_kcat, by_claim} <= {event_id(record) for record in read})
    predictions = {event_id(record): json.loads(record.value) for record in answers.records}
    assert predictions[by_kcat]["output"] == predictions[by_claim]["output"]
    async with open_topic_reader(stack.settings, topics.feedback("ocr"), from_beginning=True) as corrections:
        await corrections.read_until(lambda read: by_kcat in {record.key.decode() for record in read})
