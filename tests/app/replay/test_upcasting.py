from typing import Any

import pytest

from app.events.types import PredictionMade
from tests.app.replay.logs import ONE, TWO, BuildDataset, history
from tests.support.request_history import append_to_log


def test_predictions_of_an_earlier_version_are_upcast(build: BuildDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def upcast(payload: dict[str, Any]) -> dict[str, Any]:
        return payload | {"output": {"sum": payload["output"]["sum"] + 1}}

    log = append_to_log(history(ONE))
    monkeypatch.setattr(PredictionMade, "type", "hindsight.prediction.made.v2")
    monkeypatch.setattr(PredictionMade, "upcast_v1_v2", staticmethod(upcast), raising=False)
    rows, manifest = build([*log, *append_to_log(history(TWO), epoch="d/t")])
    assert rows["output"].to_list() == ['{"sum":295.0}', '{"sum":363.0}']
    assert manifest["counts"]["predictions"]["rows"] == 2
