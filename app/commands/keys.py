"""`hindsight keys create|list|revoke`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from app.auth.keys import ApiKey, KeyStore

keys = typer.Typer(help="Manage the keys for the API and its pages.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(keys, name="keys")


@keys.command(epilog="Example: hindsight keys create ada --scope read --scope feedback")
def create(
    name: Annotated[str, typer.Argument(help="The key's owner: the actor of its feedback that names no other.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="A permission: read (everything, payloads included), feedback (send feedback and blobs) or "
            "operate (change routes, start and end runs, replay). No scope includes another."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Create a key and print its token. The token is shown only once, because only its hash is stored.

    Without any key, the API on localhost is open to every user of the machine; the first key closes it. The commands of
    the user who runs the platform have their own key, in HINDSIGHT_HOME.
    """
    from app.auth.scopes import SCOPES

    if unknown := sorted(set(scope) - set(SCOPES)):
        raise typer.BadParameter(f"{', '.join(unknown)} is not one of {', '.join(SCOPES)}", param_hint="--scope")
    with _open_key_store() as store:
        token = store.create(name, frozenset(known for known in SCOPES if known in scope))
    print(json.dumps({"name": name, "scopes": sorted(set(scope)), "token": token}) if as_json else token)
    print("Send it as X-API-Key, or log in with it. It is not shown again.", file=sys.stderr)


@keys.command("list", epilog="Example: hindsight keys list --json")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Write JSON, one object per line.")] = False) -> None:
    """List all keys, revoked ones too, the oldest first. The time of the last use is accurate to the hour."""
    with _open_key_store() as store:
        all_keys = store.all()
    if as_json:
        for key in all_keys:
            print(json.dumps(_key_json(key)))
        return
    for key in all_keys:
        fields = _key_json(key)
        state = f"revoked {fields['revoked']}" if fields["revoked"] else f"last used {fields['used'] or 'never'}"
        print(f"{key.name:<20} {','.join(fields['scopes']):<22} created {fields['created']}  {state}")
    if not all_keys:
        print("There are no keys: every user of this machine has all permissions. Create one: `hindsight keys create`.")


@keys.command(epilog="Example: hindsight keys revoke ada")
def revoke(name: Annotated[str, typer.Argument(help="The key's name.")]) -> None:
    """Revoke a key and end its logins within seconds. A revoked key can't be restored."""
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
    """Open this deployment's keys. Raises `SetupError` if their database is unavailable."""
    from app.auth.keys import KeyStore
    from app.errors import SetupError, Unavailable
    from app.settings import settings

    store = KeyStore(settings().catalog_url)
    try:
        yield store
    except Unavailable as error:
        raise SetupError(f"{error}.", "Check that the database is there and that this user may write to it.") from error
    finally:
        store.close()
