import json
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.catalog.catalog import Catalog
from app.catalog.engine import write_transaction
from app.catalog.orm import Base
from app.errors import SetupError, Unavailable
from app.events.cloudevents import ConsumedRecord
from app.events.ids import prediction_id
from app.events.memory import MemoryAnswer
from tests.app.catalog.samples import (
    OTHER,
    SERVED,
    sample_correction,
    sample_outcome,
    sample_prediction,
    sample_retraction,
)
from tests.support.record_strategies import START, consumed_record, log_strategy, make_record


def empty(catalog: Catalog) -> None:
    catalog.upgrade()
    with write_transaction(catalog._engine) as connection:
        for table in Base.metadata.tables.values():
            connection.execute(table.delete())


def test_each_requested_prediction_has_a_history(catalog: Catalog) -> None:
    catalog.project(
        [
            consumed_record(
                make_record(sample_prediction(), extensions={"requestsource": "shop"}, minute=5), logged_ms=10
            ),
            consumed_record(make_record(sample_correction())),
            consumed_record(make_record(sample_correction(prediction=OTHER), id="2"), offset=1),
        ]
    )
    histories = catalog.prediction_histories([SERVED, OTHER, "ocr:none"])
    assert histories.keys() == {SERVED, OTHER, "ocr:none"}
    served = histories[SERVED].served
    assert served is not None
    assert (served.request_source, served.time) == ("shop", START + timedelta(minutes=5))
    assert served.logged == START + timedelta(milliseconds=10)
    assert [len(histories[prediction].feedback) for prediction in (SERVED, OTHER, "ocr:none")] == [1, 1, 0]


def test_predictions_awaiting_a_reward_are_listed_oldest_first(catalog: Catalog) -> None:
    ids = [prediction_id("ocr", "app", str(number)) for number in range(6)]
    predictions = [sample_prediction(prediction=item) for item in ids]
    predictions[5] = sample_prediction(prediction=ids[5], role="shadow")
    minutes = [3, 2, 1, 9, 0, 1]
    served_records = [make_record(item, minute=minute) for item, minute in zip(predictions, minutes, strict=True)]
    outcome_records = [
        make_record(sample_outcome(ids[1], accepted=True)),
        make_record(sample_outcome(ids[4], reward=0.0)),
    ]
    catalog.project([consumed_record(item, offset) for offset, item in enumerate([*served_records, *outcome_records])])
    assert catalog.awaiting_reward("ocr", START + timedelta(minutes=5), 10) == [ids[2], ids[1], ids[0]]
    assert catalog.awaiting_reward("ocr", START + timedelta(minutes=5), 1) == [ids[2]]
    assert catalog.awaiting_reward("letters", START + timedelta(minutes=5), 10) == []


def test_a_remembered_correction_awaits_no_reward(catalog: Catalog) -> None:
    memory = MemoryAnswer(corrected=OTHER, outcome="o", output={}, confidence=0.5, propensity=1.0)
    prediction = make_record(sample_prediction().model_copy(update={"memory": memory}))
    catalog.project([consumed_record(prediction), consumed_record(make_record(sample_outcome(SERVED)), 1)])
    assert catalog.awaiting_reward("ocr", START + timedelta(minutes=5), 10) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(log_strategy(), st.randoms(use_true_random=False))
def test_rows_do_not_depend_on_the_order_or_number_of_deliveries(
    catalog: Catalog, log: Sequence[ConsumedRecord], random_source: random.Random
) -> None:
    empty(catalog)
    catalog.project(log)
    expected = catalog.dump()
    empty(catalog)
    deliveries = [*log, *random_source.choices(log, k=5)] if log else []
    random_source.shuffle(deliveries)
    while deliveries:
        size = random_source.randint(1, 5)
        catalog.project(deliveries[:size])
        del deliveries[:size]
    assert catalog.dump() == expected


def test_a_prediction_is_read_with_its_feedback_and_outcome(catalog: Catalog) -> None:
    catalog.project(
        [
            consumed_record(make_record(sample_prediction())),
            consumed_record(make_record(sample_correction()), offset=1),
            consumed_record(make_record(sample_outcome(score=0.5)), offset=2),
        ]
    )
    document = catalog.prediction(SERVED)
    assert document is not None
    assert document["output"] == {"text": "128"}
    assert [event["correction"] for event in document["feedback"]] == [{"text": "123"}]
    assert document["outcome"]["score"] == 0.5
    assert catalog.prediction(OTHER) is None


def test_retracted_feedback_is_read_with_the_time_of_its_first_retraction(catalog: Catalog) -> None:
    events = [
        (sample_prediction(), "p", 0),
        (sample_correction(), "1", 1),
        (sample_correction("7"), "2", 2),
        (sample_retraction(), "late", 9),
        (sample_retraction(), "early", 5),
        (sample_retraction("2", actor="bob"), "of another", 5),
    ]
    catalog.project(
        [consumed_record(make_record(data, id=id, minute=minute), offset=minute) for data, id, minute in events]
    )
    document = catalog.prediction(SERVED)
    assert document is not None
    assert [event["retracted"] for event in document["feedback"]] == [START + timedelta(minutes=5), None]
    assert len(catalog.prediction_histories([SERVED])[SERVED].retractions) == 3


def test_a_retraction_may_have_the_id_of_its_feedback(catalog: Catalog) -> None:
    catalog.project([consumed_record(make_record(data, id="1")) for data in (sample_correction(), sample_retraction())])
    history = catalog.prediction_histories([SERVED])[SERVED]
    assert (len(history.feedback), history.retractions) == (1, (sample_retraction(),))


@pytest.mark.parametrize("url", ["mysql://host/db", "nonsense", "postgres://host/db"])
def test_a_database_of_another_kind_is_rejected(url: str) -> None:
    with pytest.raises(SetupError, match="HINDSIGHT_DATABASE_URL"):
        Catalog(url)


def test_an_unreachable_server_makes_the_catalog_unavailable(tmp_path: Any) -> None:
    catalog = Catalog(f"postgresql+psycopg://user:hunter2@/db?host={tmp_path}")
    with pytest.raises(Unavailable) as caught:
        catalog.project([consumed_record(make_record(sample_prediction()))])
    assert "hunter2" not in str(caught.value)
    catalog.close()


def test_data_is_stored_as_queryable_json(catalog: Catalog) -> None:
    catalog.project([consumed_record(make_record(sample_prediction()))])
    (row,) = catalog.rows("predictions")
    assert row["data"] == json.loads(sample_prediction().model_dump_json())


def test_a_missing_catalog_is_never_taken_for_an_empty_one(open_catalog: Callable[[], Catalog]) -> None:
    catalog = open_catalog()
    for read in (
        lambda: catalog.prediction_histories(["letters:1"]),
        lambda: catalog.project([]),
        lambda: catalog.prediction("letters:1"),
    ):
        with pytest.raises(Unavailable, match="hindsight rebuild"):
            read()
    assert not catalog.exists()
    with open_catalog().replace_tables():
        pass
    assert catalog.exists()
    assert catalog.prediction("letters:1") is None
