"""Remembered corrections in the observations of a champion: they are counted, and its figures are its own."""

from pathlib import Path

from sqlalchemy import true

from app.retraining.triggers.drift_window import prediction_samples
from app.retraining.triggers.observation import MemoryStats
from tests.app.retraining.triggers.test_catalog_observer import at, observe
from tests.support.catalog_fixtures import make_outcome, make_prediction, open_catalog
from tests.support.scales import Scales


def test_remembered_corrections_are_counted_apart_from_the_quality_of_the_model(tmp_path: Path) -> None:
    answer = {"corrected": "p", "outcome": "o", "output": {"weight": 9.0}, "confidence": 0.5, "propensity": 1.0}
    records = [make_prediction(number, at(1), memory=answer, confidence=0.6) for number in range(4)]
    for number, score in enumerate((1.0, 0.2, 0.9, None)):
        memory = {"outcome": "o", "output": {"weight": 5.0}, "score": score}
        records.append(make_outcome(number, at(2), "all", score=0.5, label={"weight": 5.0}, memory=memory))
    found = observe(tmp_path, records, 80)
    assert found.quality is not None
    assert found.quality.value.score == 0.5
    assert found.memory is not None
    assert (found.memory.start, found.memory.value) == (found.quality.start, MemoryStats(right=1, wrong=2))


def test_the_drift_of_outputs_is_that_of_the_models_own(tmp_path: Path) -> None:
    answer = {"corrected": "p", "outcome": "o", "output": {"weight": 9.0}, "confidence": 0.5, "propensity": 1.0}
    records = [make_prediction(1, at(1), memory=answer, confidence=0.6)]
    with open_catalog(tmp_path, records) as catalog:
        samples = catalog.query(lambda connection: prediction_samples(connection, Scales(), [true()]))
    assert samples["outputs.confidence"].tolist() == [0.5]
