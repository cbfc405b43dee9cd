"""What the deployment's own commands may do, once there are keys."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.api.app import create
from app.auth import local_key
from app.auth.keys import Keys
from app.settings import Settings
from tests.support.asgi_client import serving


@pytest.fixture
def settings(brokerless: Settings, tmp_path: Path) -> Settings:
    return brokerless.model_copy(update={"home": tmp_path / "home"})


async def test_the_first_key_of_somebody_leaves_the_own_one_all_scopes(settings: Settings) -> None:
    async with serving(create(settings)) as http:
        Keys(settings.database).create("ada", frozenset({"read"}))
        key = local_key.find(settings)
        assert key is not None
        assert (await http.get("/docs", headers={"X-API-Key": key})).status_code == 200
        asked = await http.post("/v1/retraining/sonar", json={"actor": "me"}, headers={"X-API-Key": key})
    assert (asked.status_code, asked.json()["detail"][:13]) == (404, "there is no t")


async def test_the_own_key_closes_nothing(settings: Settings) -> None:
    async with serving(create(settings)) as http:
        assert local_key.find(settings) is not None
        assert (await http.get("/docs")).status_code == 200


def test_it_is_made_once_for_its_owner_alone_whoever_is_the_first(settings: Settings) -> None:
    assert local_key.find(settings) is None
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(local_key.make, [settings] * 8))
    assert made == {local_key.find(settings)}
    assert stat.S_IMODE(local_key.path_of(settings).stat().st_mode) == 0o600
    assert [path.name for path in settings.home.iterdir()] == ["local.key"]


def test_that_of_the_settings_takes_its_place(settings: Settings) -> None:
    local_key.make(settings)
    named = settings.model_copy(update={"api_key": SecretStr("s3cret")})
    assert (local_key.make(named), local_key.find(named)) == ("s3cret", "s3cret")


async def test_a_home_that_can_not_be_written_only_does_without(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    database, blobs = SecretStr(f"sqlite:///{tmp_path / 'catalog.sqlite'}"), (tmp_path / "blobs").as_uri()
    nowhere = {"home": tmp_path / "file" / "home", "database_url": database, "blob_url": blobs}
    async with serving(create(settings.model_copy(update=nowhere))) as http:
        assert (await http.get("/docs")).status_code == 200
