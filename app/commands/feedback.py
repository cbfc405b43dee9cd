"""`hindsight feedback PREDICTION`: a correction, a reward, an acceptance or a preference, or the retraction of one."""

import asyncio
import getpass
import json
from typing import Annotated, Any

import typer


def register(cli: typer.Typer) -> None:
    """Add the command."""
    prediction_id = "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"
    cli.command(epilog=f"""Example: hindsight feedback {prediction_id} --correction '{{"text": "123"}}'""")(feedback)


def feedback(
    prediction_id: Annotated[
        str | None, typer.Argument(help="The prediction's id, as `send` prints it; optional with --retract.")
    ] = None,
    correction: Annotated[str | None, typer.Option(help="The right output, as JSON.")] = None,
    reward: Annotated[float | None, typer.Option(help="How good the output was, from -1 to 1.")] = None,
    reward_name: Annotated[
        str | None, typer.Option(help="What the reward measures, such as `click`: one of the task's named rewards.")
    ] = None,
    position: Annotated[int | None, typer.Option(help="The position in a slate that the reward is of, from 1.")] = None,
    accepted: Annotated[bool, typer.Option("--accepted", help="The output was right.")] = False,
    better: Annotated[str | None, typer.Option(help="An output that is better than the served one, as JSON.")] = None,
    worse: Annotated[str | None, typer.Option(help="An output that is worse than the served one, as JSON.")] = None,
    retract: Annotated[
        str | None, typer.Option(metavar="ID", help="Take back the feedback with this id, as this command prints it.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Who gives it; by default the user of this computer.")] = None,
) -> None:
    """Correct, reward or accept a prediction, compare it with another output, or take such feedback back."""
    if better is not None and worse is not None:
        raise typer.BadParameter("it excludes --worse: give feedback twice", param_hint="--better")
    label = _parse_object(correction, "--correction")
    other = _parse_object(worse, "--worse") if better is None else _parse_object(better, "--better")
    preference = None if other is None else {"output": other, "better": better is not None}
    given = (label, reward, reward_name, position, preference)
    if retract is not None and (accepted or any(content is not None for content in given)):
        raise typer.BadParameter("it excludes all feedback", param_hint="--retract")
    if retract is None and prediction_id is None:
        raise typer.BadParameter("the prediction's id is needed", param_hint="PREDICTION_ID")
    name = actor or getpass.getuser()

    async def publish() -> str:
        from app.commands.client import create_client

        async with create_client() as client:
            if retract is not None:
                return await client.retract(retract, prediction_id=prediction_id, actor=name)
            assert prediction_id is not None
            return await client.feedback(
                prediction_id,
                correction=label,
                reward=reward,
                reward_name=reward_name,
                position=position,
                accepted=accepted or None,
                preference=preference,
                actor=name,
            )

    from app.commands.client import check_same_log

    check_same_log()
    event_id = asyncio.run(publish())
    if retract is not None:
        print(f"{retract}: retraction {event_id} is in the log")
    else:
        print(f"{prediction_id}: feedback {event_id} is in the log")


def _parse_object(text: str | None, option: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}", param_hint=option) from None
    if not isinstance(value, dict):
        raise typer.BadParameter("""a JSON object is needed, such as '{"text": "123"}'""", param_hint=option)
    return value
