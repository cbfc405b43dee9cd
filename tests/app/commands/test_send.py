import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.settings import Settings
from tests.support.commands import invoke_hindsight, run_hindsight
from tests.support.fake_inference import TASK, run_fake_inference


def read_text(payload: bytes) -> dict[str, Any]:
    if payload == b"bad":
        raise ValueError("it is bad")
    return {"text": payload.decode()}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    names = ["abc", "def", "bad"]
    for name in names:
        (tmp_path / f"{name}.txt").write_text(name)
    return [tmp_path / f"{name}.txt" for name in names]


async def test_send_prints_the_prediction(platform: Settings, files: list[Path]) -> None:
    async with run_fake_inference(platform, read_text):
        result = await run_hindsight(platform, "send", TASK, files[0])
    assert result.code == 0
    assert result.err == ""
    [line] = result.out.splitlines()
    assert line.startswith(f"{files[0]}  abc  confidence 0.750  3 ms  letters:")


async def test_send_prints_the_first_of_several_lines(platform: Settings, tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text("A receipt\n\n2 coffees\n1 tea\n")
    async with run_fake_inference(platform, read_text):
        result = await invoke_hindsight(platform, "send", TASK, page)
        whole = await invoke_hindsight(platform, "send", TASK, page, "--json")
    assert result.out.startswith(f"{page}  A receipt … (3 lines)  confidence 0.750")
    assert json.loads(whole.out)["output"] == {"text": page.read_text()}


async def test_send_ends_with_1_and_the_reason_if_a_file_has_no_prediction(
    platform: Settings, files: list[Path]
) -> None:
    async with run_fake_inference(platform, read_text):
        result = await invoke_hindsight(platform, "send", TASK, *files)
    assert result.code == 1
    assert {line.split("  ")[1] for line in result.out.splitlines()} == {"abc", "def"}
    assert result.err == f"{files[2]}: it is bad (preprocess: bad)\n"


async def test_send_writes_json_for_machines(platform: Settings, files: list[Path]) -> None:
    async with run_fake_inference(platform, read_text):
        result = await invoke_hindsight(platform, "send", TASK, *files, "--json")
    assert result.code == 1
    documents = {Path(document["file"]).stem: document for document in map(json.loads, result.out.splitlines())}
    assert documents["abc"]["output"] == {"text": "abc"}
    assert documents["bad"]["error"]["reason"] == "it is bad"


async def test_send_reports_that_there_is_no_answer_in_time(platform: Settings, files: list[Path]) -> None:
    result = await invoke_hindsight(platform, "send", TASK, files[0], "--timeout", "1")
    assert result.code == 1
    assert result.err == f"{files[0]}: no answer within 1 s; `hindsight doctor` says what is not ready\n"


def test_send_reports_a_missing_file() -> None:
    result = CliRunner().invoke(cli, ["send", "ocr", "nowhere.png"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "nowhere.png" in result.output
    assert "does not exist" in result.output
