from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.catalog.catalog import Catalog
from app.settings import Settings
from tests.support.postgres import Postgres, run_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with run_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind, with nothing in it."""
    if request.param == "sqlite":
        return Settings(home=tmp_path).catalog_url
    server: Postgres = request.getfixturevalue("postgres")
    return Settings(database_url=server.create_database()).catalog_url


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], Catalog]]:
    """Opens the catalog, as another process would, as often as is wanted."""
    catalogs: list[Catalog] = []

    def another() -> Catalog:
        catalogs.append(Catalog(url))
        return catalogs[-1]

    yield another
    for catalog in catalogs:
        catalog.close()


@pytest.fixture
def catalog(opened: Callable[[], Catalog]) -> Catalog:
    """An empty one."""
    found = opened()
    found.upgrade()
    return found
