"""`hindsight models ...`: the registry from the command line."""

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.arguments import TaskArgument
from app.commands.shadows import compare
from app.commands.weights import pull

if TYPE_CHECKING:
    from app.registry.changes import RegistryWriter
    from app.registry.registry import TaskModels
    from app.registry.responses import TaskModelsResponse

models = typer.Typer(help="List versions, register them, and choose which of them serve.", no_args_is_help=True)

VersionArgument = Annotated[str, typer.Argument(help="The version's number, as `list` prints it.")]
ReasonOption = Annotated[str, typer.Option(help="The reason, for the log.")]
ActorOption = Annotated[str | None, typer.Option(help="The actor; by default the user of this computer.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, one object per line.")]

DEFAULT_REASON = "by hand"
MAX_CARD_TEXT = 400
"""Length of a card's field in text; a drift reference has thousands of numbers."""


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    models.command("list", epilog="Example: hindsight models list ocr")(list_)
    models.command("register", epilog="Example: hindsight models register ocr model.onnx --card card.json --parent 1")(
        register_
    )
    models.command(epilog="Example: hindsight models promote ocr 2 --reason 'better on the new scanner'")(promote)
    models.command(epilog="Example: hindsight models canary ocr 2 --share 0.05")(canary)
    models.command(epilog="Example: hindsight models shadow ocr 2")(shadow)
    models.command(epilog="Examples: hindsight models compare ocr; hindsight models compare ocr 2 3 4")(compare)
    models.command(epilog="Examples: hindsight models rollback ocr; hindsight models rollback ocr 3")(rollback)
    models.command(epilog="Example: hindsight models show ocr 2")(show)
    models.command(epilog="Example: hindsight models freeze ocr --reason 'the scanner is being replaced'")(freeze)
    models.command(epilog="Example: hindsight models unfreeze ocr")(unfreeze)
    models.command(epilog="Examples: hindsight models pull; hindsight models pull ocr --json")(pull)
    cli.add_typer(models, name="models")


def list_(
    task: Annotated[str | None, typer.Argument(help="Only this task, such as ocr.")] = None, as_json: JsonOption = False
) -> None:
    """List the versions of models and their roles."""
    from app import tasks
    from app.registry.responses import describe_models
    from app.registry.subscription import read_registry
    from app.settings import settings

    loaded_tasks = [tasks.load_task(settings(), task)] if task is not None else tasks.load_tasks(settings()).values()
    registry = asyncio.run(read_registry(settings(), loaded_tasks))
    for task_models in registry.tasks.values():
        _print_models(describe_models(task_models), as_json)


def register_(
    task: TaskArgument,
    model: Annotated[Path, typer.Argument(help="The ONNX file, or the manifest.json.", exists=True, readable=True)],
    card: Annotated[
        Path, typer.Option(help="Its card: a JSON object with data and figures.", exists=True, dir_okay=False)
    ],
    parent: Annotated[str | None, typer.Option(help="The version that it was fine-tuned from.")] = None,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a version that was trained elsewhere, once it has answered the task's samples.

    It does not serve until a route includes it. If the model is registered already, its card is replaced by this one.
    """
    from app.evaluation.shipped_comparison import describe_trial
    from app.evaluation.trial_process import check_model
    from app.registry.cards import parse_card
    from app.registry.model_format import check_version
    from app.registry.registration import Provenance
    from app.registry.registration import register as register_version
    from app.settings import settings
    from app.storage.blob_store import blob_store
    from app.tasks import load_task

    card_fields = parse_card(card.read_bytes(), str(card))
    check_version(model)
    print(describe_trial(check_model(settings(), load_task(settings(), task).name, model)), file=sys.stderr)
    version = asyncio.run(
        register_version(
            settings(),
            load_task(settings(), task),
            _open_writer(task),
            blob_store(settings()),
            model,
            card_fields,
            Provenance(actor or getpass.getuser(), parent),
        )
    )
    fields = {"task": task, "version": version.number, "artifact": version.artifact}
    print(json.dumps(fields) if as_json else version.number)


def promote(
    task: TaskArgument,
    version: VersionArgument,
    reason: ReasonOption = DEFAULT_REASON,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion. This ends the trial of a canary."""
    _apply_change(task, as_json, lambda writer: writer.promote(version, reason, actor or getpass.getuser()))


def canary(
    task: TaskArgument,
    version: VersionArgument,
    share: Annotated[float, typer.Option(help="The share of requests that it answers, above 0 and below 1.")] = 0.05,
    reason: ReasonOption = DEFAULT_REASON,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version answer a share of the requests, always of the same keys."""
    _apply_change(task, as_json, lambda writer: writer.canary(version, share, reason, actor or getpass.getuser()))


def shadow(
    task: TaskArgument,
    version: VersionArgument,
    reason: ReasonOption = DEFAULT_REASON,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version predict without answering."""
    _apply_change(task, as_json, lambda writer: writer.shadow(version, reason, actor or getpass.getuser()))


def rollback(
    task: TaskArgument,
    version: Annotated[
        str | None, typer.Argument(help="The version; by default the canary if there is one, else the champion.")
    ] = None,
    reason: ReasonOption = DEFAULT_REASON,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a version's role at once. The previous champion replaces a champion."""
    _apply_change(task, as_json, lambda writer: writer.roll_back(version, reason, actor or getpass.getuser()))


def show(task: TaskArgument, version: VersionArgument, as_json: JsonOption = False) -> None:
    """Show a version's lineage: its data, labellers, trigger, code, gate and routes."""
    from app.registry.lineage import trace_lineage
    from app.registry.subscription import read_registry
    from app.settings import settings
    from app.tasks import load_task

    registry = asyncio.run(read_registry(settings(), [load_task(settings(), task)]))
    lineage = trace_lineage(settings(), registry.tasks[task], version)
    if as_json:
        print(lineage.model_dump_json())
        return
    for name, value in lineage.model_dump(mode="json", exclude_none=True).items():
        if name == "card":
            fields = {field: json.dumps(content, ensure_ascii=False) for field, content in value.items()}
            lines: list[object] = [
                f"{field}: {shorten(text, MAX_CARD_TEXT, placeholder=' ...')}" for field, text in fields.items()
            ]
        else:
            lines = value if isinstance(value, list) else [value]
        for line in lines:
            print(f"{name:<12} {json.dumps(line, ensure_ascii=False) if isinstance(line, dict) else line}")


def freeze(
    task: TaskArgument, reason: ReasonOption = DEFAULT_REASON, actor: ActorOption = None, as_json: JsonOption = False
) -> None:
    """Pause retraining and promotion of a task. Its versions keep serving, and can be rolled back."""
    _apply_change(task, as_json, lambda writer: writer.freeze(True, reason, actor or getpass.getuser()))


def unfreeze(
    task: TaskArgument, reason: ReasonOption = DEFAULT_REASON, actor: ActorOption = None, as_json: JsonOption = False
) -> None:
    """Resume retraining and promotion of a task."""
    _apply_change(task, as_json, lambda writer: writer.freeze(False, reason, actor or getpass.getuser()))


def _apply_change(task: str, as_json: bool, change: "Callable[[RegistryWriter], Awaitable[TaskModels]]") -> None:
    from app.registry.responses import describe_models

    async def apply() -> "TaskModels":
        return await change(_open_writer(task))

    _print_models(describe_models(asyncio.run(apply())), as_json)


def _open_writer(task: str) -> "RegistryWriter":
    from app.events.cloudevents import Record
    from app.kafka.producers import publish_all
    from app.registry.changes import RegistryWriter
    from app.settings import settings
    from app.tasks import load_task

    async def publish(record: Record) -> None:
        await publish_all(settings(), [record])

    return RegistryWriter(settings(), load_task(settings(), task), publish)


def _print_models(task_models: "TaskModelsResponse", as_json: bool) -> None:
    if as_json:
        print(task_models.model_dump_json())
        return
    if task_models.frozen is not None:
        print(f"{task_models.task} is frozen: {task_models.frozen}")
    for version in task_models.versions:
        role: str = version.role or "-"
        if version.role == "canary":
            role = f"canary {task_models.route.canary_share:.0%}"
        parent = f"from {version.parent}" if version.parent else ""
        metrics = "  ".join(
            f"{name} {value:.4g}" for name, value in version.figures.items() if isinstance(value, float)
        )
        print(f"{task_models.task:<18} {version.version:>4}  {role:<12} {parent:<8} {metrics}".rstrip())
