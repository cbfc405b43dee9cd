"""What the deployment's own commands may do, once there are keys."""

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


async def test_the_first_key_of_somebody_leaves_the_own_one_all_scopes(settings: Settings) -> None:
    async with serve_app(create_app(settings)) as http:
        KeyStore(settings.catalog_url).create("ada", frozenset({"read"}))
        key = local_key.load_key(settings)
        assert key is not None
        assert (await http.get("/docs", headers={"X-API-Key": key})).status_code == 200
        asked = await http.post("/v1/retraining/sonar", json={"actor": "me"}, headers={"X-API-Key": key})
    assert (asked.status_code, asked.json()["detail"][:13]) == (404, "there is no t")


async def test_the_own_key_closes_nothing(settings: Settings) -> None:
    async with serve_app(create_app(settings)) as http:
        assert local_key.load_key(settings) is not None
        assert (await http.get("/docs")).status_code == 200


def test_it_is_made_once_for_its_owner_alone_whoever_is_the_first(settings: Settings) -> None:
    assert local_key.load_key(settings) is None
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(local_key.load_or_create_key, [settings] * 8))
    assert made == {local_key.load_key(settings)}
    assert stat.S_IMODE(local_key.key_path(settings).stat().st_mode) == 0o600
    assert [path.name for path in settings.home.iterdir()] == ["local.key"]


def test_that_of_the_settings_takes_its_place(settings: Settings) -> None:
    local_key.load_or_create_key(settings)
    named = settings.model_copy(update={"api_key": SecretStr("s3cret")})
    assert (local_key.load_or_create_key(named), local_key.load_key(named)) == ("s3cret", "s3cret")


async def test_a_home_that_can_not_be_written_only_does_without(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    database, blobs = SecretStr(f"sqlite:///{tmp_path / 'catalog.sqlite'}"), (tmp_path / "blobs").as_uri()
    nowhere = {"home": tmp_path / "file" / "home", "database_url": database, "blob_url": blobs}
    async with serve_app(create_app(settings.model_copy(update=nowhere))) as http:
        assert (await http.get("/docs")).status_code == 200
