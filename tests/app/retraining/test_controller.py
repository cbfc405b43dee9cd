"""The rollout of a run with several candidates, as the controller does it."""

from pathlib import Path
from typing import Any
from unittest.mock import call, create_autospec

import pytest

from app.events.base import EventData
from app.kafka.resilient_producer import ResilientProducer
from app.monitoring.progress import ProgressMonitor
from app.registry.changes import RegistryWriter
from app.retraining import controller as controllers
from app.retraining.run_events import SOURCE
from app.settings import Settings
from tests.app.retraining.rollout.test_evidence import at
from tests.app.retraining.rollout.test_execution import SHADOWS, read_both, route_change
from tests.support.catalog_fixtures import make_outcome, make_prediction, open_catalog
from tests.support.scales import Scales

BEST = "Version 2 of the same run is the best, as far as 3 labels tell."


async def roll_out(directory: Path, monkeypatch: pytest.MonkeyPatch, *events: EventData) -> list[Any]:
    """Return the changes of the route at a look long after these events, when version 2 is right and 3 is 0.1 off."""
    writer = create_autospec(RegistryWriter, instance=True)
    monkeypatch.setattr(controllers, "RegistryWriter", lambda *_: writer)
    records = [
        record
        for number in range(3)
        for record in (
            make_prediction(number, at(10)),
            make_prediction(number, at(10), "2", "shadow", output={"weight": 7.0}),
            make_prediction(number, at(10), "3", "shadow", output={"weight": 6.0}),
            make_outcome(number, at(11), score=0.9, label={"weight": 7.0}),
        )
    ]
    settings, scales = Settings(home=directory), Scales()
    with open_catalog(directory, records) as catalog:
        publisher = create_autospec(ResilientProducer, instance=True)
        controller = controllers.Controller(
            settings, {scales.name: scales}, catalog, publisher, ProgressMonitor(settings)
        )
        await controller._roll_out(scales, *read_both(*events))
    return list(writer.mock_calls)


async def test_all_candidates_that_passed_become_shadows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = await roll_out(tmp_path, monkeypatch)
    assert calls == [call.shadow(version, "It passed the gate.", SOURCE) for version in ("2", "3")]


async def test_a_restart_between_two_shadows_starts_the_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await roll_out(tmp_path, monkeypatch, SHADOWS[0]) == [call.shadow("3", "It passed the gate.", SOURCE)]


async def test_the_worse_shadow_is_rolled_back_at_the_end_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await roll_out(tmp_path, monkeypatch, *SHADOWS) == [call.roll_back("3", BEST, SOURCE)]


async def test_a_candidate_that_people_make_the_canary_has_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = route_change("canary", "4", None, champion="1", canary="3", canary_share=0.25, shadows=("2",))
    calls = await roll_out(tmp_path, monkeypatch, *SHADOWS, canary)
    assert calls == [call.roll_back("2", "Version 3 of the same run is the canary.", SOURCE)]
