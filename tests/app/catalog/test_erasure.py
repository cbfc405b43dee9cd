"""Rows that are erased are gone, also from the database's files."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.catalog.catalog import Catalog
from app.catalog.erasure import RowsToErase
from app.errors import Unavailable
from app.events.ids import prediction_id
from tests.app.catalog.test_catalog import made, outcome, right, rows
from tests.support.record_strategies import START, consumed_record, make_dead_letter, make_record

ADA, BOB = prediction_id("ocr", "app", "ada"), prediction_id("ocr", "app", "bob")


def fill(catalog: Catalog) -> str:
    """Two predictions with all that there is of them; the id of the dead letter."""
    rejected = consumed_record(make_dead_letter())
    for number, unique in enumerate((ADA, BOB)):
        catalog.project(
            [
                consumed_record(
                    make_record(made("seen of ada" if unique == ADA else "seen of bob", unique)), offset=number
                )
            ]
        )
        catalog.project([consumed_record(make_record(right(unique=unique), id=unique), offset=number)])
        catalog.project([consumed_record(make_record(outcome(unique, reward=1.0)), offset=number)])
    catalog.project([rejected])
    return dict(rejected.headers)["rejected_id"].decode()


def test_what_is_erased_is_counted_and_gone_and_the_rest_is_as_it_was(catalog: Catalog) -> None:
    dead = fill(catalog)
    erased = RowsToErase(predictions={ADA}, feedback={("app", ADA)}, outcomes={ADA}, dead_letters={dead})
    assert catalog.count(erased) == 4
    assert catalog.erase(erased) == 4
    catalog.vacuum()
    assert catalog.count(erased) == catalog.erase(erased) == 0
    for table in ("predictions", "feedback", "outcomes"):
        assert rows(catalog, table, "prediction_id") == [(BOB,)]
    assert rows(catalog, "dead_letters") == []


def test_a_prediction_whose_outcome_is_erased_waits_for_a_reward_again(catalog: Catalog) -> None:
    fill(catalog)
    assert catalog.awaiting_reward("ocr", START + timedelta(days=1), 10) == []
    catalog.erase(RowsToErase(outcomes={ADA}))
    assert catalog.awaiting_reward("ocr", START + timedelta(days=1), 10) == [ADA]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_sqlites_files_hold_nothing_of_what_is_erased(catalog: Catalog, url: str) -> None:
    fill(catalog)
    path = Path(str(make_url(url).database))
    assert any(b"seen of ada" in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    catalog.erase(RowsToErase(predictions={ADA}, feedback={("app", ADA)}, outcomes={ADA}))
    catalog.vacuum()
    files = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    assert (b"seen of ada" in files, b"seen of bob" in files) == (False, True)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_database_that_is_read_for_ever_is_said(catalog: Catalog, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.catalog.engine.LOCK_SECONDS", 0.1)
    fill(catalog)
    busy = Catalog(url)
    reading = busy.rows("predictions")
    next(reading)
    with pytest.raises(Unavailable):
        Catalog(url).vacuum()
    reading.close()  # type: ignore[attr-defined]
    busy.close()
