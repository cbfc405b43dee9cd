import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.auth.keys import KeyStore, secret_digest
from app.cli import cli
from app.errors import SetupError
from app.settings import settings


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.cache_clear()
    monkeypatch.setenv("HINDSIGHT_HOME", str(tmp_path))
    yield
    settings.cache_clear()


def run(*words: str) -> str:
    result = CliRunner().invoke(cli, ["keys", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_token_is_printed_once_and_alone_so_that_a_script_can_read_it() -> None:
    token = run("create", "ada", "--scope", "read", "--scope", "feedback").strip()
    assert [secret_digest(token)] == [key.digest for key in KeyStore(settings().catalog_url).all()]
    assert token not in run("list") + run("list", "--json")


def test_a_new_key_is_json_for_machines() -> None:
    key = json.loads(run("create", "ada", "--scope", "read", "--scope", "feedback", "--json"))
    assert (key["name"], key["scopes"]) == ("ada", ["feedback", "read"])
    assert [secret_digest(key["token"])] == [stored.digest for stored in KeyStore(settings().catalog_url).all()]


def test_the_list_shows_each_keys_scopes_and_revocation() -> None:
    assert "There are no keys" in run("list")
    run("create", "ada", "--scope", "read")
    [key] = map(json.loads, run("list", "--json").splitlines())
    assert (key["name"], key["scopes"], key["used"], key["revoked"]) == ("ada", ["read"], None, None)
    run("revoke", "ada")
    assert "revoked 20" in run("list")


def test_an_unknown_scope_is_refused() -> None:
    result = CliRunner().invoke(cli, ["keys", "create", "ada", "--scope", "admin"])
    assert result.exit_code == 2
    assert "read, feedback, operate" in " ".join(result.stderr.split())


def test_revoking_an_unknown_key_is_a_setup_error() -> None:
    result = CliRunner().invoke(cli, ["keys", "revoke", "ada"])
    assert isinstance(result.exception, SetupError)
