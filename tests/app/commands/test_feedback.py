import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.events import ids
from app.settings import Settings
from tests.support.commands import CommandResult, invoke_hindsight, run_hindsight

PREDICTION = "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"


async def test_feedback_is_given_in_the_users_name(platform: Settings) -> None:
    prediction = ids.prediction_id("ocr", "test", "cli")
    result = await run_hindsight(
        platform, "feedback", prediction, "--correction", '{"text": "123"}', USER="ada", LOGNAME="ada"
    )
    assert result == CommandResult(0, result.out, "")
    assert result.out.startswith(f"{prediction}: feedback ")


async def test_feedback_is_retracted_by_its_id(platform: Settings) -> None:
    prediction = ids.prediction_id("ocr", "test", "cli-retraction")
    given = await invoke_hindsight(platform, "feedback", prediction, "--accepted", "--actor", "ada")
    event_id = given.out.split()[2]
    result = await invoke_hindsight(platform, "feedback", "--retract", event_id, "--actor", "ada")
    assert result == CommandResult(0, result.out, "")
    assert result.out.startswith(f"{event_id}: retraction ")
    other = await run_hindsight(platform, "feedback", "--retract", event_id, "--actor", "bob")
    assert (other.code, "is not of 'bob'" in other.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "at least one of correction, reward, accepted and preference is needed"),
        (["--correction", '{"text": "€"}'], "no symbol for '€'"),
    ],
)
async def test_invalid_feedback_is_rejected_with_its_reason(
    platform: Settings, arguments: list[str], reason: str
) -> None:
    result = await run_hindsight(platform, "feedback", PREDICTION, *arguments)
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert reason in result.err


@pytest.mark.parametrize("option", ["--correction", "--better", "--worse"])
@pytest.mark.parametrize(
    ("output", "reason"), [("123", "a JSON object is needed"), ("text=123", "'text=123' is not JSON")]
)
def test_an_output_is_a_json_object(option: str, output: str, reason: str) -> None:
    result = CliRunner().invoke(cli, ["feedback", PREDICTION, option, output], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert reason in result.output
    assert option in result.output


def test_one_other_output_is_compared_at_a_time() -> None:
    arguments = ["feedback", PREDICTION, "--better", "{}", "--worse", "{}"]
    result = CliRunner().invoke(cli, arguments, env={"COLUMNS": "200"})
    assert (result.exit_code, "excludes --worse" in result.output) == (2, True)


@pytest.mark.parametrize("option", ["--better", "--worse"])
async def test_the_other_output_of_a_preference_is_checked_by_the_task(platform: Settings, option: str) -> None:
    result = await run_hindsight(platform, "feedback", PREDICTION, option, '{"text": "€"}')
    assert (result.code, "no symbol for '€'" in result.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "the prediction's id is needed"),
        (["--retract", "7", "--accepted"], "excludes all feedback"),
        (["--retract", "7", "--reward-name", "click"], "excludes all feedback"),
    ],
)
def test_a_prediction_is_needed_for_feedback_and_no_content_for_a_retraction(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(cli, ["feedback", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert reason in result.output
