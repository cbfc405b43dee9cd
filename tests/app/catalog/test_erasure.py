"""Erased rows are gone, also from the database's files."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.catalog.catalog import Catalog
from app.catalog.erasure import RowsToErase
from app.errors import Unavailable
from app.events.ids import prediction_id
from tests.app.catalog.samples import (
    sample_correction,
    sample_outcome,
    sample_prediction,
    sample_retraction,
    table_rows,
)
from tests.support.record_strategies import START, consumed_record, make_dead_letter, make_record

ADA, BOB = prediction_id("ocr", "app", "ada"), prediction_id("ocr", "app", "bob")


def fill(catalog: Catalog) -> str:
    """Store two predictions with feedback and outcome, and a dead letter; return the dead letter's id."""
    rejected = consumed_record(make_dead_letter())
    for number, prediction in enumerate((ADA, BOB)):
        catalog.project(
            [
                consumed_record(
                    make_record(sample_prediction("seen of ada" if prediction == ADA else "seen of bob", prediction)),
                    offset=number,
                )
            ]
        )
        catalog.project(
            [consumed_record(make_record(sample_correction(prediction=prediction), id=prediction), offset=number)]
        )
        catalog.project([consumed_record(make_record(sample_outcome(prediction, reward=1.0)), offset=number)])
    catalog.project([rejected])
    return dict(rejected.headers)["rejected_id"].decode()


def test_erased_rows_are_counted_and_gone_and_the_others_stay(catalog: Catalog) -> None:
    dead_letter_id = fill(catalog)
    for prediction in (ADA, BOB):
        retraction = sample_retraction(prediction=prediction)
        catalog.project([consumed_record(make_record(retraction, id=f"undo {prediction}"))])
    erased = RowsToErase(
        predictions={ADA},
        feedback={("app", ADA)},
        retractions={("app", f"undo {ADA}")},
        outcomes={ADA},
        dead_letters={dead_letter_id},
    )
    assert catalog.count(erased) == 5
    assert catalog.erase(erased) == 5
    catalog.vacuum()
    assert catalog.count(erased) == catalog.erase(erased) == 0
    for table in ("predictions", "feedback", "retractions", "outcomes"):
        assert table_rows(catalog, table, "prediction_id") == [(BOB,)]
    assert table_rows(catalog, "dead_letters") == []


def test_a_prediction_whose_outcome_is_erased_waits_for_a_reward_again(catalog: Catalog) -> None:
    fill(catalog)
    assert catalog.awaiting_reward("ocr", START + timedelta(days=1), 10) == []
    catalog.erase(RowsToErase(outcomes={ADA}))
    assert catalog.awaiting_reward("ocr", START + timedelta(days=1), 10) == [ADA]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_sqlites_files_keep_no_trace_of_erased_rows(catalog: Catalog, url: str) -> None:
    fill(catalog)
    path = Path(str(make_url(url).database))
    assert any(b"seen of ada" in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    catalog.erase(RowsToErase(predictions={ADA}, feedback={("app", ADA)}, outcomes={ADA}))
    catalog.vacuum()
    files = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    assert (b"seen of ada" in files, b"seen of bob" in files) == (False, True)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_vacuum_raises_while_a_reader_stays_active(catalog: Catalog, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.catalog.engine.LOCK_SECONDS", 0.1)
    fill(catalog)
    read_catalog = Catalog(url)
    reader = read_catalog.rows("predictions")
    next(reader)
    with pytest.raises(Unavailable):
        Catalog(url).vacuum()
    reader.close()  # type: ignore[attr-defined]
    read_catalog.close()
