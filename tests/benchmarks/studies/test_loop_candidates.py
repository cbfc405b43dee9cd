"""A run with several candidates, from the trigger to the champion, in the simulated deployment of the study."""

from dataclasses import replace

import pytest

from app.registry.registry import TaskModels
from app.settings import Settings, TaskSettings
from benchmarks.studies.loop_worth.deployment import Deployment
from benchmarks.studies.loop_worth.policies import scale_settings, serve_by_loop
from benchmarks.studies.loop_worth.sources import STREAMED_TASKS
from benchmarks.studies.loop_worth.streams import Phase, draw_stream
from tests.support.scales.varied import VariedScales

DAYS, REQUESTS = 5, 80


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> TaskModels:
    """Return the registry of a task after a few days, of which the second brings a new source."""
    scales = replace(STREAMED_TASKS["scales"], task=VariedScales)
    phases = (Phase(0.2, "new", 0.0), Phase(1.0, "new", 0.9))
    plan = scale_settings(REQUESTS, 1.0).model_copy(update={"candidates": 4})
    rules = TaskSettings(audit_rate=1.0, retraining=plan)
    deployment = Deployment(scales, Settings(home=tmp_path_factory.mktemp("home"), task_settings={"scales": rules}), 0)
    serve_by_loop(deployment, draw_stream(scales, DAYS, REQUESTS, 0, phases))
    return deployment.models


def test_the_best_of_the_candidates_that_passed_becomes_the_champion(models: TaskModels) -> None:
    run = next(run for run in models.runs.values() if run.ended and run.ended.outcome == "promoted")
    missed = {version: models.version(version).card["figures"]["missed"] for version in run.versions}
    assert len(missed) > 1
    champion = run.routes[-1][1].champion
    assert champion in missed
    assert missed[champion] == min(missed.values())
    assert run.lead.version == champion


def test_the_other_candidates_were_shadows_and_lost_with_a_reason(models: TaskModels) -> None:
    run = next(run for run in models.runs.values() if run.ended and run.ended.outcome == "promoted")
    changes = [change for _, change in run.routes]
    shadows = {version for change in changes for version in change.shadows}
    assert shadows == set(run.versions)
    lost = [change.reason for change in changes if change.action == "rollback"]
    assert len(lost) == len(run.versions) - 1
    assert all("mean score is" in reason or "is the best" in reason for reason in lost)
    canaries = {change.canary for change in changes if change.canary}
    assert canaries == {run.lead.version}
