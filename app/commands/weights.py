"""`hindsight models pull`: the weights of shipped versions, from the packages that have them."""

import json
import sys
from typing import Annotated

import typer


def pull(
    task: Annotated[str | None, typer.Argument(help="Only this task, such as ocr.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, one object per line.")] = False,
) -> None:
    """Fetch the weights of shipped versions from published packages into the cache, and repair damaged files.

    `make setup` and the start of the platform fetch what is missing.
    """
    from app import tasks
    from app.errors import SetupError
    from app.registry.shipped import packaged_versions
    from app.registry.weights import pull as pull_versions
    from app.settings import MiB, settings

    loaded_tasks = [tasks.load_task(settings(), task)] if task is not None else tasks.load_tasks(settings()).values()
    errors: list[SetupError] = []
    for version in (version for loaded in loaded_tasks for version in packaged_versions(settings().cache, loaded)):
        try:
            fetched = pull_versions(settings(), [version], recheck=True)
        except SetupError as error:
            errors.append(error)  # the others are fetched all the same
            continue
        fields = {"task": version.task, "version": version.number, "path": str(version.path), "bytes": version.size}
        if as_json:
            print(json.dumps(fields | {"fetched": fetched}))
        else:
            state = "fetched" if fetched else "was there"
            print(f"{version.task:<18} {version.number:>4}  {version.size / MiB:>6.1f} MiB  {state:<9}  {version.path}")
    for earlier in errors[:-1]:
        print(f"error: {earlier}", file=sys.stderr)
    if errors:
        raise errors[-1]
