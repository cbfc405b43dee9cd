import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.events import ids
from app.settings import CHECKOUT, Settings
from tests.support.fake_inference import TASK, run_fake_inference
from tests.support.platform import process_environment

COMMANDS = ["up", "run", "send", "feedback", "batch", "doctor", "topics"]
PREDICTION = "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"


class Ended(NamedTuple):
    code: int
    out: str
    err: str


async def hindsight(config: Settings, *arguments: str | Path, **variables: str) -> Ended:
    """The command in a process of its own, as users run it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", *map(str, arguments)),
        cwd=CHECKOUT,
        env=process_environment(config) | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def spelled(payload: bytes) -> dict[str, Any]:
    if payload == b"bad":
        raise ValueError("it is bad")
    return {"text": payload.decode()}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    names = ["abc", "def", "bad"]
    for name in names:
        (tmp_path / f"{name}.txt").write_text(name)
    return [tmp_path / f"{name}.txt" for name in names]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert "Example: " in result.output
    assert f"hindsight {command}" in result.output


async def test_help_is_fast_for_it_loads_nothing_slow() -> None:
    code = "import sys, app.cli; print([name for name in ('aiokafka', 'numpy', 'fastapi') if name in sys.modules])"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
    )
    assert (await process.communicate())[0] == b"[]\n"


async def test_send_prints_the_prediction(platform: Settings, files: list[Path]) -> None:
    async with run_fake_inference(platform, spelled):
        ended = await hindsight(platform, "send", TASK, files[0])
    assert ended.code == 0
    assert ended.err == ""
    [line] = ended.out.splitlines()
    assert line.startswith(f"{files[0]}  abc  confidence 0.750  3 ms  letters:")


async def test_send_ends_with_1_and_the_reason_if_a_file_has_no_prediction(
    platform: Settings, files: list[Path]
) -> None:
    async with run_fake_inference(platform, spelled):
        ended = await hindsight(platform, "send", TASK, *files)
    assert ended.code == 1
    assert {line.split("  ")[1] for line in ended.out.splitlines()} == {"abc", "def"}
    assert ended.err == f"{files[2]}: it is bad (preprocess: bad)\n"


async def test_send_writes_json_for_machines(platform: Settings, files: list[Path]) -> None:
    async with run_fake_inference(platform, spelled):
        ended = await hindsight(platform, "send", TASK, *files, "--json")
    assert ended.code == 1
    found = {Path(line["file"]).stem: line for line in map(json.loads, ended.out.splitlines())}
    assert found["abc"]["output"] == {"text": "abc"}
    assert found["bad"]["error"]["reason"] == "it is bad"


async def test_send_says_when_there_is_no_answer(platform: Settings, files: list[Path]) -> None:
    ended = await hindsight(platform, "send", TASK, files[0], "--timeout", "1")
    assert ended.code == 1
    assert ended.err == f"{files[0]}: no answer within 1 s; `hindsight doctor` says what is not ready\n"


async def test_feedback_is_given_in_the_users_name(platform: Settings) -> None:
    prediction = ids.prediction_id("ocr", "test", "cli")
    ended = await hindsight(
        platform, "feedback", prediction, "--correction", '{"text": "123"}', USER="ada", LOGNAME="ada"
    )
    assert ended == Ended(0, ended.out, "")
    assert ended.out.startswith(f"{prediction}: feedback ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "at least one of correction, reward and accepted is needed"),
        (["--correction", '{"text": "€"}'], "no symbol for '€'"),
    ],
)
async def test_wrong_feedback_is_refused_with_its_reason(platform: Settings, arguments: list[str], reason: str) -> None:
    ended = await hindsight(platform, "feedback", PREDICTION, *arguments)
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert reason in ended.err


@pytest.mark.parametrize(
    ("correction", "reason"), [("123", "a JSON object is needed"), ("text=123", "'text=123' is not JSON")]
)
def test_a_correction_is_a_json_object(correction: str, reason: str) -> None:
    result = CliRunner().invoke(cli, ["feedback", PREDICTION, "--correction", correction], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert reason in result.output


async def test_topics_says_what_differs(platform: Settings) -> None:
    ended = await hindsight(platform, "topics")
    assert ended == Ended(0, "16 topics are there; 0 differences\n", "")
    ended = await hindsight(platform, "topics", HINDSIGHT_PARTITIONS="5")
    assert "topic ocr.requests has 4 partitions, not 5\n" in ended.out


@pytest.mark.parametrize(
    ("arguments", "variables", "remedy"),
    [
        (["topics"], {}, "HINDSIGHT_KAFKA_BOOTSTRAP"),
        (["feedback", PREDICTION, "--accepted"], {}, "Is the platform running?"),
        (["topics"], {"HINDSIGHT_API_PORT": "web"}, "HINDSIGHT_API_PORT: Input should be a valid integer"),
        (["topics"], {"HINDSIGHT_API_PORT": "99999"}, "a port is between 1 and 65535"),
        (["up"], {"HINDSIGHT_TASKS": '{"ocr": "models.nowhere:Ocr"}'}, "Check the module's and the class's name."),
        (["run"], {"HINDSIGHT_TASKS": '{"OCR": "models.ocr:Ocr"}', "HINDSIGHT_DEMO": "1"}, "a letter first"),
    ],
)
async def test_what_a_user_can_put_right_is_said_without_a_traceback(
    brokerless: Settings, arguments: list[str], variables: dict[str, str], remedy: str
) -> None:
    ended = await hindsight(brokerless, *arguments, **variables)
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert remedy in ended.err
    assert "Remedy: " in ended.err
    assert "Traceback" not in ended.err


def test_a_missing_file_is_said() -> None:
    result = CliRunner().invoke(cli, ["send", "ocr", "nowhere.png"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "nowhere.png" in result.output
    assert "does not exist" in result.output


async def test_what_a_command_writes_is_for_its_user_alone(tmp_path: Path) -> None:
    """Whatever the shell's umask is: the catalog, blobs and datasets hold payloads, feedback and actors."""
    config = Settings(home=tmp_path / "home")
    before = os.umask(0o022)
    try:
        done = await hindsight(config, "keys", "create", "ci", "--scope", "read")
    finally:
        os.umask(before)
    assert done.code == 0, done.err
    written = [config.home, *config.home.rglob("*")]
    assert config.home / "catalog.sqlite" in written
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in written} == dict.fromkeys(
        (path.name for path in written), "0o0"
    )
