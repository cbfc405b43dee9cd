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


def test_a_key_is_printed_once_and_alone_so_that_a_script_can_take_it() -> None:
    token = run("create", "ada", "--scope", "read", "--scope", "feedback").strip()
    assert [secret_digest(token)] == [key.digest for key in KeyStore(settings().catalog_url).all()]
    assert token not in run("list") + run("list", "--json")


def test_the_list_says_what_each_key_may_do_and_that_it_is_revoked() -> None:
    assert "There are no keys" in run("list")
    run("create", "ada", "--scope", "read")
    [key] = map(json.loads, run("list", "--json").splitlines())
    assert (key["name"], key["scopes"], key["used"], key["revoked"]) == ("ada", ["read"], None, None)
    run("revoke", "ada")
    assert "revoked 20" in run("list")


def test_what_is_no_scope_is_refused() -> None:
    result = CliRunner().invoke(cli, ["keys", "create", "ada", "--scope", "admin"])
    assert result.exit_code == 2
    assert "read, feedback, operate" in " ".join(result.stderr.split())


def test_what_is_no_key_is_said_to_be_none() -> None:
    result = CliRunner().invoke(cli, ["keys", "revoke", "ada"])
    assert isinstance(result.exception, SetupError)
