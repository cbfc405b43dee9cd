"""`hindsight models ...`: the registry from the command line."""

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.registry.changes import RegistryWriter
    from app.registry.registry import TaskModels
    from app.registry.responses import TaskModelsResponse

models = typer.Typer(help="List versions, register them, and say which of them serve.", no_args_is_help=True)

TaskArgument = Annotated[str, typer.Argument(help="The task, such as ocr.")]
VersionArgument = Annotated[str, typer.Argument(help="The version's number, as `list` prints it.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it stays in the log.")]
ActorOption = Annotated[str | None, typer.Option(help="Who does it; by default the user of this computer.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, one object a line.")]

DEFAULT_REASON = "by hand"


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    models.command("list", epilog="Example: hindsight models list ocr")(list_)
    models.command("register", epilog="Example: hindsight models register ocr model.onnx --card card.json --parent 1")(
        register_
    )
    models.command(epilog="Example: hindsight models promote ocr 2 --reason 'better on the new scanner'")(promote)
    models.command(epilog="Example: hindsight models canary ocr 2 --share 0.05")(canary)
    models.command(epilog="Example: hindsight models shadow ocr 2")(shadow)
    models.command(epilog="Examples: hindsight models rollback ocr; hindsight models rollback ocr 3")(rollback)
    models.command(epilog="Example: hindsight models show ocr 2")(show)
    models.command(epilog="Example: hindsight models freeze ocr --reason 'the scanner is being replaced'")(freeze)
    models.command(epilog="Example: hindsight models unfreeze ocr")(unfreeze)
    cli.add_typer(models, name="models")


def list_(
    task: Annotated[str | None, typer.Argument(help="Only this task, such as ocr.")] = None, as_json: JsonOption = False
) -> None:
    """List the versions of models, and what each does."""
    from app import tasks
    from app.registry.responses import describe_models
    from app.registry.subscription import read_registry
    from app.settings import settings

    wanted = [tasks.load_task(settings(), task)] if task is not None else tasks.load_tasks(settings()).values()
    registry = asyncio.run(read_registry(settings(), wanted))
    for found in registry.tasks.values():
        _print_models(describe_models(found), as_json)


def register_(
    task: TaskArgument,
    model: Annotated[Path, typer.Argument(help="The ONNX file.", exists=True, dir_okay=False, readable=True)],
    card: Annotated[
        Path, typer.Option(help="Its card: a JSON object with data and figures.", exists=True, dir_okay=False)
    ],
    parent: Annotated[str | None, typer.Option(help="The version that its fitting started from.")] = None,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a version that was trained elsewhere. It serves nothing before a route says so."""
    from app.errors import SetupError
    from app.registry.registration import Provenance
    from app.registry.registration import register as registering
    from app.settings import settings
    from app.storage.blob_store import blob_store
    from app.tasks import load_task

    try:
        said = json.loads(card.read_bytes())
    except ValueError as error:
        raise SetupError(f"{card} is not JSON: {error}.", "Write the card as a JSON object.") from None
    if not isinstance(said, dict):
        raise SetupError(f"{card} is no JSON object.", 'Write the card as one, such as {"figures": {"wer": 0.1}}.')
    found = asyncio.run(
        registering(
            settings(),
            load_task(settings(), task),
            _open_writer(task),
            blob_store(settings()),
            model.read_bytes(),
            said,
            Provenance(actor or getpass.getuser(), parent),
        )
    )
    print(json.dumps({"task": task, "version": found.number, "artifact": found.artifact}) if as_json else found.number)


def promote(
    task: TaskArgument,
    version: VersionArgument,
    reason: ReasonOption = DEFAULT_REASON,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion; a canary's trial is over."""
    _apply_change(task, as_json, lambda changes: changes.promote(version, reason, actor or getpass.getuser()))


def canary(
    task: TaskArgument,
    version: VersionArgument,
    share: Annotated[float, typer.Option(help="The share of requests that it answers, above 0 and below 1.")] = 0.05,
    reason: ReasonOption = DEFAULT_REASON,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version answer a share of the requests, the same keys as long as it is the canary."""
    _apply_change(task, as_json, lambda changes: changes.canary(version, share, reason, actor or getpass.getuser()))


def shadow(
    task: TaskArgument,
    version: VersionArgument,
    reason: ReasonOption = DEFAULT_REASON,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version predict without answering."""
    _apply_change(task, as_json, lambda changes: changes.shadow(version, reason, actor or getpass.getuser()))


def rollback(
    task: TaskArgument,
    version: Annotated[
        str | None, typer.Argument(help="What to take back; by default the canary if there is one, else the champion.")
    ] = None,
    reason: ReasonOption = DEFAULT_REASON,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a version's role away at once. A champion gives way to the one before it."""
    _apply_change(task, as_json, lambda changes: changes.roll_back(version, reason, actor or getpass.getuser()))


def show(task: TaskArgument, version: VersionArgument, as_json: JsonOption = False) -> None:
    """Show where a version comes from: its data, who labelled them, what triggered it, its code, gate and routes."""
    from app.registry.lineage import trace_lineage
    from app.registry.subscription import read_registry
    from app.settings import settings
    from app.tasks import load_task

    registry = asyncio.run(read_registry(settings(), [load_task(settings(), task)]))
    found = trace_lineage(settings(), registry.tasks[task], version)
    if as_json:
        print(found.model_dump_json())
        return
    for name, said in found.model_dump(mode="json", exclude_none=True).items():
        for line in said if isinstance(said, list) else [said]:
            print(f"{name:<12} {json.dumps(line, ensure_ascii=False) if isinstance(line, dict) else line}")


def freeze(
    task: TaskArgument, reason: ReasonOption = DEFAULT_REASON, actor: ActorOption = None, as_json: JsonOption = False
) -> None:
    """Pause retraining and promotion of a task. What serves goes on, and can be rolled back."""
    _apply_change(task, as_json, lambda changes: changes.freeze(True, reason, actor or getpass.getuser()))


def unfreeze(
    task: TaskArgument, reason: ReasonOption = DEFAULT_REASON, actor: ActorOption = None, as_json: JsonOption = False
) -> None:
    """Let retraining and promotion of a task go on."""
    _apply_change(task, as_json, lambda changes: changes.freeze(False, reason, actor or getpass.getuser()))


def _apply_change(task: str, as_json: bool, change: "Callable[[RegistryWriter], Awaitable[TaskModels]]") -> None:
    from app.registry.responses import describe_models

    async def changed() -> "TaskModels":
        return await change(_open_writer(task))

    _print_models(describe_models(asyncio.run(changed())), as_json)


def _open_writer(task: str) -> "RegistryWriter":
    from app.events.cloudevents import Record
    from app.kafka.producers import publish_all
    from app.registry.changes import RegistryWriter
    from app.settings import settings
    from app.tasks import load_task

    async def publish(record: Record) -> None:
        await publish_all(settings(), [record])

    return RegistryWriter(settings(), load_task(settings(), task), publish)


def _print_models(found: "TaskModelsResponse", as_json: bool) -> None:
    if as_json:
        print(found.model_dump_json())
        return
    if found.frozen is not None:
        print(f"{found.task} is frozen: {found.frozen}")
    for one in found.versions:
        role: str = one.role or "-"
        if one.role == "canary":
            role = f"canary {found.route.canary_share:.0%}"
        parent = f"from {one.parent}" if one.parent else ""
        figures = "  ".join(f"{name} {value:.4g}" for name, value in one.figures.items() if isinstance(value, float))
        print(f"{found.task:<18} {one.version:>4}  {role:<12} {parent:<8} {figures}".rstrip())
