from collections.abc import Callable

import pytest

from app.catalog import engine
from app.catalog.catalog import Catalog
from app.errors import Unavailable
from tests.support.postgres import Postgres
from tests.support.record_strategies import consumed_record, make_dead_letter


@pytest.fixture
def short_lock_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LOCK_SECONDS", 1)


@pytest.mark.usefixtures("short_lock_timeout")
def test_a_writer_waits_for_another_and_then_raises(open_catalog: Callable[[], Catalog]) -> None:
    first, second = open_catalog(), open_catalog()
    first.upgrade()
    with first.replace_tables(), pytest.raises(Unavailable, match="lock"):
        second.project([consumed_record(make_dead_letter())])
    second.project([consumed_record(make_dead_letter())])
    assert len(list(second.rows("dead_letters"))) == 1


def test_a_restarted_server_is_used_again(postgres: Postgres) -> None:
    catalog = Catalog(postgres.create_database().replace("postgresql:", "postgresql+psycopg:"))
    catalog.upgrade()
    catalog.project([consumed_record(make_dead_letter(1))])
    postgres.stop()
    try:
        with pytest.raises(Unavailable, match="catalog"):
            catalog.project([consumed_record(make_dead_letter(2))])
    finally:
        postgres.start()
    catalog.project([consumed_record(make_dead_letter(2))])
    assert len(list(catalog.rows("dead_letters"))) == 2
    catalog.close()
