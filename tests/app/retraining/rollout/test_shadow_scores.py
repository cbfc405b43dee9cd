"""The scores of several shadows, from a catalog."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from app.retraining.rollout import evidence
from tests.app.retraining.rollout.test_evidence import at
from tests.support.catalog_fixtures import make_outcome, make_prediction, open_catalog
from tests.support.record_strategies import START
from tests.support.scales import Scales


def test_several_shadows_are_scored_on_the_same_requests(tmp_path: Path) -> None:
    """Also on those that one of them did not answer."""
    label = {"weight": 7.0}
    records = [
        dataclasses.replace(make_prediction(1, at(0)), key=b"ada"),
        make_prediction(1, at(0), "2", "shadow", output={"weight": 6.0}),
        make_prediction(1, at(0), "3", "shadow", output={"weight": 7.0}),
        make_outcome(1, at(6), score=0.8, label=label),
        dataclasses.replace(make_prediction(2, at(1)), key=b"ada"),
        make_prediction(2, at(1), "3", "shadow", output={"weight": 6.0}),
        make_outcome(2, at(5), score=0.7, label=label),
    ]
    with open_catalog(tmp_path, records) as catalog:
        found = catalog.query(lambda it: evidence.gather_shadow_scores(it, Scales(), ("3", "2"), "1", START, at(60)))
    assert found.scores == pytest.approx(np.array([[0.7, 0.9, np.nan], [0.8, 1.0, 0.9]]), nan_ok=True)
    assert found.keys[0] == found.keys[1]
    assert (found.champion, found.candidates, found.minutes) == ("1", ("3", "2"), 60)
