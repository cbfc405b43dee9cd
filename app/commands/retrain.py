"""`hindsight retrain`."""

import getpass
import json
import time
from typing import Annotated, Any

import typer

_EXAMPLES = """Examples: hindsight retrain ocr; hindsight retrain ocr --explain; hindsight retrain ocr --cancel;
hindsight retrain --list --json"""
_POLL_SECONDS = 1.0


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog=_EXAMPLES)(retrain)


def retrain(
    task: Annotated[str | None, typer.Argument(help="The task, such as ocr.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Instead: what each trigger sees, and why.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Instead: end the run that is under way.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Instead: list runs, the newest first.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Don't stay until the candidate is registered.")] = False,
    reason: Annotated[str, typer.Option(help="Why; it stays in the log.")] = "by hand",
    actor: Annotated[str | None, typer.Option(help="Who does it; by default the user of this computer.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, one object a line.")] = False,
) -> None:
    """Retrain a task from its log, and show how far it is; Ctrl-C leaves the run going.

    Ends with 1 if the run failed or its candidate was refused.
    """
    from app.errors import SetupError

    if list_:
        for run in _list_runs(task):
            print(json.dumps(run) if as_json else _run_line(run))
        return
    if task is None:
        raise SetupError("Nothing says which task to retrain.", "Name one, such as: hindsight retrain ocr")
    if explain:
        _print_triggers(_call_api("GET", f"/v1/retraining/{task}/triggers"), as_json)
        return
    wanted = {"actor": actor or getpass.getuser(), "reason": reason}
    if cancel:
        print(_call_api("POST", f"/v1/retraining/{task}:cancel", wanted)["run_id"])
        return
    run_id = _call_api("POST", f"/v1/retraining/{task}", wanted)["run_id"]
    if no_wait:
        print(json.dumps({"run_id": run_id}) if as_json else run_id)
        return
    run = _follow_run(task, run_id)
    print(json.dumps(run) if as_json else _run_line(run))
    raise typer.Exit(1 if run["outcome"] in ("failed", "refused", "cancelled") else 0)


def _follow_run(task: str, run_id: str) -> dict[str, Any]:
    """Show the run until its candidate is registered, or it is over."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task, total=None)
        while True:
            for run in (one for one in _list_runs(task) if one["run_id"] == run_id):
                if run["step"] in (None, "rollout"):
                    return run
                said = run["progress"] or {}
                doing = f"{run['step']}: {said.get('doing', '')}"
                progress.update(bar, description=doing, completed=said.get("done", 0), total=said.get("of"))
            time.sleep(_POLL_SECONDS)


def _list_runs(task: str | None) -> list[dict[str, Any]]:
    return [run for run in _call_api("GET", "/v1/retraining")["runs"] if task in (None, run["task"])]


def _run_line(run: dict[str, Any]) -> str:
    state = run["outcome"] or run["step"]
    version = f"version {run['version']}" if run["version"] else "-"
    why = run["reason"] or run["decision"] or ""
    return f"{run['run_id']}  {run['task']:<16}  {run['trigger']:<8}  {state:<11}  {version:<11}  {why}".rstrip()


def _print_triggers(explanation: dict[str, Any], as_json: bool) -> None:
    for one in explanation["triggers"]:
        if as_json:
            print(json.dumps(one))
            continue
        print(f"{one['trigger']:<9} {'FIRES' if one['fires'] else 'waits'}  {one['sees']}")
        print(f"{'':<9} due: {one['bound']}")
        for missing in one["missing"]:
            print(f"{'':<9} not yet: {missing}")


def _call_api(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """An answer of the API. Raises `SetupError` with what it says."""
    import httpx

    from app.auth import local_key
    from app.embedded.readiness import api_url
    from app.errors import SetupError
    from app.settings import settings
    from app.system import api_tls

    key, verify = local_key.load_key(settings()), api_tls.client_verification(settings())
    headers = {"X-API-Key": key} if key else {}
    url = f"{api_url(settings())}{path}"
    try:
        answer = httpx.request(method, url, json=body, headers=headers, timeout=60, trust_env=False, verify=verify)
    except httpx.HTTPError as error:
        raise SetupError(
            f"{url} can't be reached: {error}.", "Is the platform running? `hindsight up` starts it."
        ) from error
    if answer.is_success:
        return answer.json()
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = answer.text
    raise SetupError(str(detail), "See `hindsight retrain --help`.")
