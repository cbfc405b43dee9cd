"""`hindsight keys create|list|revoke`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from app.auth.keys import ApiKey, KeyStore

keys = typer.Typer(help="The keys by which others may call the API and open its pages.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(keys, name="keys")


@keys.command(epilog="Example: hindsight keys create ada --scope read --scope feedback")
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is: who gives feedback by it, where nobody else is named.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="What it may do: read (all that there is, payloads included), feedback (send feedback and blobs) or "
            "operate (change routes, begin and end runs, replay). None includes another."
        ),
    ],
) -> None:
    """Make a key, and print its token: this once, for only a hash of it is kept.

    The first key closes the API of a Hindsight on localhost, which is open to whoever is on the machine until then. The
    commands of whoever runs it have a key of their own, in HINDSIGHT_HOME.
    """
    from app.auth.scopes import SCOPES

    if unknown := sorted(set(scope) - set(SCOPES)):
        raise typer.BadParameter(f"{', '.join(unknown)} is none of {', '.join(SCOPES)}", param_hint="--scope")
    with _open_key_store() as store:
        token = store.create(name, frozenset(one for one in SCOPES if one in scope))
    print(token)
    print("Send it as X-API-Key, or log in with it. It is not shown again.", file=sys.stderr)


@keys.command("list", epilog="Example: hindsight keys list --json")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Write JSON, one object a line.")] = False) -> None:
    """List all keys that there ever were, the oldest first; when they were last used is known to the hour."""
    with _open_key_store() as store:
        found = store.all()
    if as_json:
        for key in found:
            print(json.dumps(_key_json(key)))
        return
    for key in found:
        said = _key_json(key)
        state = f"revoked {said['revoked']}" if said["revoked"] else f"last used {said['used'] or 'never'}"
        print(f"{key.name:<20} {','.join(said['scopes']):<22} created {said['created']}  {state}")
    if not found:
        print("There are no keys: whoever is on this machine may do all. `hindsight keys create` makes one.")


@keys.command(epilog="Example: hindsight keys revoke ada")
def revoke(name: Annotated[str, typer.Argument(help="The key's name.")]) -> None:
    """End a key and whatever is logged in by it, within seconds. It never opens anything again."""
    with _open_key_store() as store:
        store.revoke(name)
    print(f"{name}: revoked")


def _key_json(key: "ApiKey") -> dict[str, Any]:
    times = {
        name: None if time is None else time.isoformat(timespec="minutes")
        for name, time in (("created", key.created), ("used", key.used), ("revoked", key.revoked))
    }
    return {"name": key.name, "scopes": sorted(key.scopes), **times}


@contextmanager
def _open_key_store() -> Iterator["KeyStore"]:
    """The keys of this deployment. Raises `SetupError` where their database is away."""
    from app.auth.keys import KeyStore
    from app.errors import SetupError, Unavailable
    from app.settings import settings

    store = KeyStore(settings().catalog_url)
    try:
        yield store
    except Unavailable as error:
        raise SetupError(f"{error}.", "Is the database there, and may this user write to it?") from error
    finally:
        store.close()
