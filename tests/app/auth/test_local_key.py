"""Access of the deployment's own commands, before and after the first API key."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.api.app import create_app
from app.auth import local_key
from app.auth.keys import KeyStore
from app.settings import Settings
from tests.support.asgi_client import serve_app


@pytest.fixture
def settings(brokerless: Settings, tmp_path: Path) -> Settings:
    return brokerless.model_copy(update={"home": tmp_path / "home"})


async def test_the_local_key_keeps_all_scopes_after_the_first_api_key(settings: Settings) -> None:
    async with serve_app(create_app(settings)) as http:
        KeyStore(settings.catalog_url).create("ada", frozenset({"read"}))
        key = local_key.load_key(settings)
        assert key is not None
        assert (await http.get("/docs", headers={"X-API-Key": key})).status_code == 200
        response = await http.post("/v1/retraining/sonar", json={"actor": "me"}, headers={"X-API-Key": key})
    assert (response.status_code, response.json()["detail"][:13]) == (404, "There is no t")


async def test_the_local_key_does_not_lock_the_api(settings: Settings) -> None:
    async with serve_app(create_app(settings)) as http:
        assert local_key.load_key(settings) is not None
        assert (await http.get("/docs")).status_code == 200


def test_concurrent_processes_create_one_local_key_that_only_its_owner_can_read(settings: Settings) -> None:
    assert local_key.load_key(settings) is None
    with ThreadPoolExecutor(8) as threads:
        created = set(threads.map(local_key.load_or_create_key, [settings] * 8))
    assert created == {local_key.load_key(settings)}
    assert stat.S_IMODE(local_key.key_path(settings).stat().st_mode) == 0o600
    assert [path.name for path in settings.home.iterdir()] == ["local.key"]


def test_a_key_in_the_settings_replaces_the_file(settings: Settings) -> None:
    local_key.load_or_create_key(settings)
    with_key = settings.model_copy(update={"api_key": SecretStr("s3cret")})
    assert (local_key.load_or_create_key(with_key), local_key.load_key(with_key)) == ("s3cret", "s3cret")


async def test_the_api_starts_without_a_local_key_if_the_home_can_not_be_written(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    database, blobs = SecretStr(f"sqlite:///{tmp_path / 'catalog.sqlite'}"), (tmp_path / "blobs").as_uri()
    unwritable = {"home": tmp_path / "file" / "home", "database_url": database, "blob_url": blobs}
    async with serve_app(create_app(settings.model_copy(update=unwritable))) as http:
        assert (await http.get("/docs")).status_code == 200
