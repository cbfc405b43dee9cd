import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from app.catalog import migrate
from app.catalog.catalog import Catalog
from app.catalog.engine import create_catalog_engine, read_transaction, write_transaction
from app.catalog.orm import Base
from app.errors import Unavailable
from app.settings import CHECKOUT
from tests.support.record_strategies import consumed_record, make_dead_letter


def tables(url: str) -> set[str]:
    engine = create_catalog_engine(url)
    with read_transaction(engine) as connection:
        names = set(inspect(connection).get_table_names())
    engine.dispose()
    return names


def execute(url: str, *statements: str) -> None:
    engine = create_catalog_engine(url)
    with write_transaction(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def schema_differences(url: str) -> list[Any]:
    engine = create_catalog_engine(url)
    with read_transaction(engine) as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata)
    engine.dispose()
    return list(found)


def test_the_migrations_make_the_schema_of_the_models(catalog: Catalog, url: str) -> None:
    catalog.upgrade()
    assert schema_differences(url) == []


def test_migrations_go_down_and_up_again(catalog: Catalog, url: str) -> None:
    catalog.upgrade()
    engine = create_catalog_engine(url)
    with write_transaction(engine) as connection:
        command.downgrade(migrate.alembic_config(connection), "base")
    assert tables(url) == {"alembic_version"}
    migrate.upgrade(engine)
    engine.dispose()
    assert schema_differences(url) == []


def test_processes_that_start_together_migrate_once(url: str) -> None:
    code = "import sys; from app.catalog.catalog import Catalog; Catalog(sys.argv[1]).upgrade()"
    command = [sys.executable, "-c", code, url]
    processes = [subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 2, errors
    assert schema_differences(url) == []


def test_a_newer_catalog_is_reported_with_the_remedy(open_catalog: Callable[[], Catalog], url: str) -> None:
    open_catalog().upgrade()
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Unavailable, match=r"9999.*hindsight rebuild"):
        open_catalog().project([consumed_record(make_dead_letter())])


@pytest.mark.parametrize(
    "damage", ["UPDATE alembic_version SET version_num = '9999'", "DROP TABLE outcomes", "DROP TABLE alembic_version"]
)
def test_damaged_tables_are_recreated(open_catalog: Callable[[], Catalog], url: str, damage: str) -> None:
    before = open_catalog()
    before.upgrade()
    before.project([consumed_record(make_dead_letter())])
    execute(url, damage)
    with open_catalog().replace_tables():
        pass
    assert schema_differences(url) == []
    assert not any(open_catalog().dump().values())


def test_other_tables_stay_when_the_read_models_are_recreated(catalog: Catalog, url: str) -> None:
    catalog.upgrade()
    execute(url, "CREATE TABLE leases (name TEXT)", "INSERT INTO leases VALUES ('retraining')")
    with catalog.replace_tables():
        pass
    engine = create_catalog_engine(url)
    with read_transaction(engine) as connection:
        assert connection.execute(text("SELECT name FROM leases")).scalars().all() == ["retraining"]
    engine.dispose()
