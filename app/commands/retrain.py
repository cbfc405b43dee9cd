"""`hindsight retrain`."""

import getpass
import json
import time
from typing import Annotated, Any

import typer

from app.commands.arguments import complete_task

_EXAMPLES = """Examples: hindsight retrain ocr; hindsight retrain ocr --explain; hindsight retrain ocr --cancel;
hindsight retrain --list --json"""
_POLL_SECONDS = 1.0


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog=_EXAMPLES)(retrain)


def retrain(
    task: Annotated[str | None, typer.Argument(help="The task, such as ocr.", autocompletion=complete_task)] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print what each trigger observes and when it fires instead.")
    ] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the current run instead.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List runs instead, the newest first.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Don't wait for the candidate's registration.")] = False,
    reason: Annotated[str, typer.Option(help="The reason, for the log.")] = "by hand",
    actor: Annotated[str | None, typer.Option(help="The actor; by default the user of this computer.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, one object per line.")] = False,
) -> None:
    """Retrain a task from its log and show the progress. After Ctrl-C the run continues.

    Exit code 1 if the run failed or its candidate was refused.
    """
    from app.commands.client import call_api, check_same_log
    from app.errors import SetupError

    if not (list_ or task):
        raise SetupError("No task is named.", "Name the task to retrain, such as: hindsight retrain ocr")
    check_same_log()
    if list_:
        runs = _list_runs(task)
        for run in runs:
            print(json.dumps(run) if as_json else _run_line(run))
        if not (runs or as_json):
            print(f"There are no runs{f' of {task}' if task else ''} yet.")
        return
    assert task is not None
    if explain:
        _print_triggers(call_api("GET", f"/v1/retraining/{task}/triggers"), as_json)
        return
    body = {"actor": actor or getpass.getuser(), "reason": reason}
    if cancel:
        print(call_api("POST", f"/v1/retraining/{task}:cancel", body)["run_id"])
        return
    run_id = call_api("POST", f"/v1/retraining/{task}", body)["run_id"]
    if no_wait:
        print(json.dumps({"run_id": run_id}) if as_json else run_id)
        return
    run = _follow_run(task, run_id)
    print(json.dumps(run) if as_json else _run_line(run))
    raise typer.Exit(1 if run["outcome"] in ("failed", "refused", "cancelled") else 0)


def _follow_run(task: str, run_id: str) -> dict[str, Any]:
    """Show the run's progress until its candidate is registered or the run has ended. Return the run."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task, total=None)
        while True:
            for run in (run for run in _list_runs(task) if run["run_id"] == run_id):
                if run["step"] in (None, "rollout"):
                    return run
                state = run["progress"] or {}
                description = f"{run['step']}: {state.get('doing', '')}"
                progress.update(bar, description=description, completed=state.get("done", 0), total=state.get("of"))
            time.sleep(_POLL_SECONDS)


def _list_runs(task: str | None) -> list[dict[str, Any]]:
    from app.commands.client import call_api

    return [run for run in call_api("GET", "/v1/retraining")["runs"] if task in (None, run["task"])]


def _run_line(run: dict[str, Any]) -> str:
    state = run["outcome"] or run["step"]
    version = f"version {run['version']}" if run["version"] else "-"
    reason = run["reason"] or run["decision"] or ""
    began = run["began"][:16].replace("T", " ")
    line = f"{began}  {run['run_id']}  {run['task']:<16}  {run['trigger']:<8}  {state:<11}  {version:<11}  {reason}"
    return line.rstrip()


def _print_triggers(explanation: dict[str, Any], as_json: bool) -> None:
    for trigger in explanation["triggers"]:
        if as_json:
            print(json.dumps(trigger))
            continue
        print(f"{trigger['trigger']:<9} {'FIRES' if trigger['fires'] else 'waits'}  {trigger['sees']}")
        print(f"{'':<9} due: {trigger['bound']}")
        for missing in trigger["missing"]:
            print(f"{'':<9} not yet: {missing}")
