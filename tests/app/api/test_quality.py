from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI

from app.api import quality
from app.auth.scopes import REQUIRE_READ
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import ScoredOutcome, estimate_quality
from app.monitoring.quality_detector import QualityReference
from app.retraining.triggers.observation import MemoryStats, Observation, WindowValue
from tests.support.tasks import Letters

START = datetime(2026, 1, 1, tzinfo=UTC)


async def get_quality(observations: dict[str, tuple[str, Observation]], task: str = "letters") -> httpx.Response:
    controller: Any = SimpleNamespace(trigger_service=SimpleNamespace(observations=observations))
    app = FastAPI()
    app.include_router(quality.router({"letters": Letters()}, controller))
    require_read: Any = REQUIRE_READ[0].dependency
    app.dependency_overrides[require_read] = lambda: None  # there is no authentication here
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        return await http.get(f"/v1/quality/{task}")


def window(value: Any) -> WindowValue[Any]:
    return WindowValue(START, START + timedelta(hours=1), value)


async def test_the_quality_has_plain_weighted_and_expected_scores() -> None:
    outcomes = [ScoredOutcome(START, score, "audit", 0.5) for score in (1.0, 0.5)] + [
        ScoredOutcome(START, 0.0, "volunteer", None)
    ]
    expected = PerformanceEstimate(0.8, 0.7, 0.9, 100.0, error=0.03, windows=4)
    observation = Observation(
        quality=window(estimate_quality(outcomes, 6)),
        reference=QualityReference(0.9),
        expected=window(expected),
        memory=window(MemoryStats(right=3, wrong=1)),
    )
    body = (await get_quality({"letters": ("2", observation)})).json()
    assert (body["version"], body["reference"]) == ("2", 0.9)
    assert (body["judged"]["plain"], body["judged"]["weighted"]) == (0.5, 0.75)
    assert body["judged"]["lower"] < 0.75 < body["judged"]["upper"]
    assert (body["judged"]["predictions"], body["judged"]["coverage"], body["judged"]["answered"]) == (6, 0.5, 1.0)
    assert (body["memory"]["right"], body["memory"]["wrong"]) == (3, 1)
    fields = ("expected", "lower", "upper", "labelled", "error", "windows")
    assert [body["late"][name] for name in fields] == [0.8, 0.7, 0.9, 100.0, 0.03, 4]


async def test_unknown_values_of_the_quality_are_null() -> None:
    body = (await get_quality({})).json()
    unknown = ("version", "reference", "judged", "late", "memory")
    assert body == {"task": "letters"} | dict.fromkeys(unknown)
    observation = Observation(quality=window(estimate_quality([], 5)))
    empty = (await get_quality({"letters": ("1", observation)})).json()["judged"]
    assert (empty["weighted"], empty["lower"], empty["upper"], empty["predictions"]) == (None, None, None, 5)


async def test_an_unknown_task_has_no_quality() -> None:
    assert (await get_quality({}, "none")).status_code == 404
