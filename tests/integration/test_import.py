"""A user's history is imported into the log and replayed from it, by commands, on real processes."""

import asyncio
import csv
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.events import topics
from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment
from models.small.ocr import Ocr
from models.small.ocr.data.lines import make_payloads
from tests.support.commands import CommandResult, run_command
from tests.support.kafka_clients import open_topic_reader
from tests.support.platform import platform_settings, run_processes

TASKS = {"ocr": "models.small.ocr:Ocr", "letters": "tests.support.tasks:Letters"}


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """A broker and MLServer, which are enough for an import."""
    settings = platform_settings(tmp_path_factory.mktemp("import"), tasks=TASKS, partitions=2)
    async with run_processes(settings, only=("kafka", "mlserver")):
        yield settings


async def run_import(settings: Settings, *words: str) -> CommandResult:
    return await run_command(settings, "hindsight", "import", *words, "--json")


async def replay_rows(settings: Settings, task: str, out: Path, *words: str) -> list[dict[str, Any]]:
    """Replay a task into a dataset and return its rows."""
    done = await run_command(settings, "hindsight", "replay", task, "--out", str(out), *words)
    assert done.code == 0, done.err
    return list(pq.read_table(out / "rows.parquet").to_pylist())


async def test_imported_files_are_replayed_with_payload_prediction_and_label(
    platform: Settings, tmp_path: Path
) -> None:
    samples = make_payloads(20, seed=5)
    for number, sample in enumerate(samples):
        (tmp_path / f"{number}.png").write_bytes(sample.payload)
    (tmp_path / "letter.png").write_text("Dear Sir or Madam,")
    with (tmp_path / "labels.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(["path", "label"])
        table.writerows([f"{number}.png", sample.correction["text"]] for number, sample in enumerate(samples))
        table.writerows([["letter.png", "x"], ["none.png", "x"], ["0.png", "€"], ["only a path"]])

    done = await run_import(platform, "ocr", str(tmp_path), "--actor", "ada")
    *rejected, counts = map(json.loads, done.out.splitlines())
    assert done.code == 1, done.err
    assert counts == {"imported": 20, "known": 0, "rejected": 4}
    assert {row["where"]: row["code"] for row in rejected} == {
        "labels.csv:22": "not_an_image",
        "labels.csv:23": "unreadable",
        "labels.csv:24": "unknown_symbol",
        "labels.csv:25": "bad_row",
    }

    rows = await replay_rows(platform, "ocr", tmp_path / "dataset", "--content", "payload")
    rows_by_entity = {row["entity"]: row for row in rows}
    assert len(rows_by_entity) == 20
    for number, sample in enumerate(samples):
        row = rows_by_entity[(tmp_path / f"{number}.png").as_uri()]
        assert (json.loads(row["label"]), row["actors"], row["version"]) == (sample.correction, ["ada"], "1")
        assert row["score"] == Ocr().score(json.loads(row["output"]), sample.correction)
        assert row["payload"] == sample.payload

    logged = [kind("ocr") for kind in (topics.requests, topics.predictions, topics.feedback)]
    async with open_topic_reader(platform, *logged, from_beginning=True) as log:
        await log.read_until(lambda records: len(records) >= 60)
        repeated = await run_import(platform, "ocr", str(tmp_path))
        assert json.loads(repeated.out.splitlines()[-1]) == {"imported": 0, "known": 20, "rejected": 4}
    async with open_topic_reader(platform, *logged, from_beginning=True) as log:
        assert len(await log.read_until(lambda records: len(records) >= 60)) == 60


@pytest.mark.soak
async def test_an_import_that_is_killed_can_be_repeated_and_imports_each_example_once(
    platform: Settings, tmp_path: Path
) -> None:
    total = 1_500
    examples: list[dict[str, Any]] = [
        {"path": f"{number}.txt", "output": {"sum": number}, "propensity": 0.5, "reward": number % 3 - 1, "label": None}
        for number in range(total)
    ]
    for example in examples:
        (tmp_path / example["path"]).write_text(f"letters {example['path']}")
    (tmp_path / "served.jsonl").write_text("".join(json.dumps(example) + "\n" for example in examples))
    words = (str(Path(sys.executable).parent / "hindsight"), "import", "letters", str(tmp_path / "served.jsonl"))
    slow = platform.model_copy(update={"batch_size": 2})
    async with open_topic_reader(platform, topics.feedback("letters")) as feedback:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=CHECKOUT,
            env=process_environment(slow) | {"PYTHONPATH": str(CHECKOUT)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await feedback.read_until(bool)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()

    done = await run_import(platform, "letters", str(tmp_path / "served.jsonl"))
    assert done.code == 0, done.err
    counts = json.loads(done.out)
    assert counts["known"] > 0
    assert counts["imported"] > 0
    assert counts["known"] + counts["imported"] == total
    rows = await replay_rows(platform, "letters", tmp_path / "dataset", "--content", "nothing")
    assert len(rows) == total
    for row in rows:
        number = int(Path(row["entity"]).stem)
        assert json.loads(row["output"]) == {"sum": number}
        assert (row["propensity"], row["reward"], row["version"]) == (0.5, number % 3 - 1, "imported")
