"""History that a user has, into the log and out of it again, by the commands that users have, on real parts."""

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
from models.ocr import Ocr
from models.ocr.data.lines import make_payloads
from tests.support.commands import CommandResult, run_command
from tests.support.kafka_clients import open_topic_reader
from tests.support.platform import platform_settings, run_processes

TASKS = {"ocr": "models.ocr:Ocr", "letters": "tests.support.tasks:Letters"}


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """A broker and MLServer: an import needs no more."""
    settings = platform_settings(tmp_path_factory.mktemp("import"), tasks=TASKS, partitions=2)
    async with run_processes(settings, only=("kafka", "mlserver")):
        yield settings


async def imported(settings: Settings, *words: str) -> CommandResult:
    return await run_command(settings, "hindsight", "import", *words, "--json")


async def rows(settings: Settings, task: str, out: Path, *words: str) -> list[dict[str, Any]]:
    """The rows of a dataset of the task."""
    done = await run_command(settings, "hindsight", "replay", task, "--out", str(out), *words)
    assert done.code == 0, done.err
    return list(pq.read_table(out / "rows.parquet").to_pylist())


async def test_labelled_files_come_out_of_a_replay_with_payload_prediction_and_label(
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

    done = await imported(platform, "ocr", str(tmp_path), "--actor", "ada")
    *rejected, counts = map(json.loads, done.out.splitlines())
    assert done.code == 1, done.err
    assert counts == {"imported": 20, "known": 0, "rejected": 4}
    assert {row["where"]: row["code"] for row in rejected} == {
        "labels.csv:22": "not_an_image",
        "labels.csv:23": "unreadable",
        "labels.csv:24": "unknown_symbol",
        "labels.csv:25": "bad_row",
    }

    found = {row["entity"]: row for row in await rows(platform, "ocr", tmp_path / "dataset", "--content", "payload")}
    assert len(found) == 20
    for number, sample in enumerate(samples):
        row = found[(tmp_path / f"{number}.png").as_uri()]
        assert (json.loads(row["label"]), row["actors"], row["version"]) == (sample.correction, ["ada"], "1")
        assert row["score"] == Ocr().score(json.loads(row["output"]), sample.correction)
        assert row["payload"] == sample.payload

    logged = [kind("ocr") for kind in (topics.requests, topics.predictions, topics.feedback)]
    async with open_topic_reader(platform, *logged, from_beginning=True) as log:
        await log.read_until(lambda records: len(records) >= 60)
        again = await imported(platform, "ocr", str(tmp_path))
        assert json.loads(again.out.splitlines()[-1]) == {"imported": 0, "known": 20, "rejected": 4}
    async with open_topic_reader(platform, *logged, from_beginning=True) as log:
        assert len(await log.read_until(lambda records: len(records) >= 60)) == 60


@pytest.mark.soak
async def test_an_import_that_is_killed_goes_on_and_each_example_is_there_once(
    platform: Settings, tmp_path: Path
) -> None:
    total = 1_500
    logged: list[dict[str, Any]] = [
        {"path": f"{number}.txt", "output": {"sum": number}, "propensity": 0.5, "reward": number % 3 - 1, "label": None}
        for number in range(total)
    ]
    for row in logged:
        (tmp_path / row["path"]).write_text(f"letters {row['path']}")
    (tmp_path / "served.jsonl").write_text("".join(json.dumps(row) + "\n" for row in logged))
    words = (str(Path(sys.executable).parent / "hindsight"), "import", "letters", str(tmp_path / "served.jsonl"))
    slowly = platform.model_copy(update={"batch_size": 2})
    async with open_topic_reader(platform, topics.feedback("letters")) as said:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=CHECKOUT,
            env=process_environment(slowly) | {"PYTHONPATH": str(CHECKOUT)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await said.read_until(bool)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()

    done = await imported(platform, "letters", str(tmp_path / "served.jsonl"))
    assert done.code == 0, done.err
    counts = json.loads(done.out)
    assert counts["known"] > 0
    assert counts["imported"] > 0
    assert counts["known"] + counts["imported"] == total
    found = await rows(platform, "letters", tmp_path / "dataset", "--content", "nothing")
    assert len(found) == total
    for row in found:
        number = int(Path(row["entity"]).stem)
        assert json.loads(row["output"]) == {"sum": number}
        assert (row["propensity"], row["reward"], row["version"]) == (0.5, number % 3 - 1, "imported")
