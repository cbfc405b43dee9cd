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
    """Return the URL of an empty database of either kind."""
    if request.param == "sqlite":
        return Settings(home=tmp_path).catalog_url
    server: Postgres = request.getfixturevalue("postgres")
    return Settings(database_url=server.create_database()).catalog_url


@pytest.fixture
def open_catalog(url: str) -> Iterator[Callable[[], Catalog]]:
    """Open the catalog, as often as needed, as other processes would."""
    catalogs: list[Catalog] = []

    def open_another() -> Catalog:
        catalogs.append(Catalog(url))
        return catalogs[-1]

    yield open_another
    for catalog in catalogs:
        catalog.close()


@pytest.fixture
def catalog(open_catalog: Callable[[], Catalog]) -> Catalog:
    """Return an empty catalog."""
    catalog = open_catalog()
    catalog.upgrade()
    return catalog
