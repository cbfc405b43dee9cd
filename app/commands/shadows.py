"""`hindsight models compare`."""

import json
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from app.commands.arguments import TaskArgument


def compare(
    task: TaskArgument,
    versions: Annotated[list[str] | None, typer.Argument(help="Only these shadows; by default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Compare the shadows of a task with each other and the champion, by the audited labels of the same requests.

    A shadow is eliminated once it is shown worse than another version by more than `max_score_loss`. Look as often as
    you like.
    """
    from app.commands.client import call_api, check_same_log

    check_same_log()
    query = urlencode([("version", version) for version in versions or ()])
    comparison = call_api("GET", f"/v1/models/{task}/shadows?{query}")
    if as_json:
        print(json.dumps(comparison))
    else:
        _print_comparison(comparison)


def _print_comparison(comparison: dict[str, Any]) -> None:
    print(f"{comparison['task']}: shadows beside version {comparison['champion']} since {comparison['since']}")
    for shadow in comparison["shadows"]:
        print(f"version {shadow['version']}: {shadow['eliminated'] or 'not worse, as far as is known'}")
        for loss in shadow["losses"]:
            bounds = f"mean score lower by {loss['mean']:+.4f} ({loss['lower']:+.4f} to {loss['upper']:+.4f})"
            print(f"  beside {loss['other']:>4}: {bounds}, {loss['requests']} requests")
    if not comparison["is_decided"]:
        print("The best is not known yet: more labels of the audit are needed.")
    elif comparison["best"] is None:
        print("All are worse than the champion.")
    else:
        print(f"The best is version {comparison['best']}.")
