from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI

from app.api import quality
from app.auth.scopes import REQUIRE_READ
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import ScoredOutcome
from app.monitoring.quality import estimate_quality as judge
from app.retraining.triggers.observation import Observation, WindowValue
from tests.support.tasks import Letters

START = datetime(2026, 1, 1, tzinfo=UTC)


async def asked(seen: dict[str, tuple[str, Observation]], task: str = "letters") -> httpx.Response:
    controller: Any = SimpleNamespace(trigger_service=SimpleNamespace(observations=seen))
    app = FastAPI()
    app.include_router(quality.router({"letters": Letters()}, controller))
    guarded: Any = REQUIRE_READ[0].dependency
    app.dependency_overrides[guarded] = lambda: None  # no guard is here
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        return await http.get(f"/v1/quality/{task}")


def window(found: Any) -> WindowValue[Any]:
    return WindowValue(START, START + timedelta(hours=1), found)


async def test_plain_weighted_and_expected_scores_are_beside_each_other() -> None:
    outcomes = [ScoredOutcome(START, score, "audit", 0.5) for score in (1.0, 0.5)] + [
        ScoredOutcome(START, 0.0, "volunteer", None)
    ]
    late = PerformanceEstimate(0.8, 0.7, 0.9, 100.0, error=0.03, windows=4)
    found = (
        await asked(
            {"letters": ("2", Observation(quality=window(judge(outcomes, 6)), reference=0.9, expected=window(late)))}
        )
    ).json()
    assert (found["version"], found["reference"]) == ("2", 0.9)
    assert (found["judged"]["plain"], found["judged"]["weighted"]) == (0.5, 0.75)
    assert found["judged"]["lower"] < 0.75 < found["judged"]["upper"]
    assert (found["judged"]["predictions"], found["judged"]["coverage"]) == (6, 0.5)
    said = ("expected", "lower", "upper", "labelled", "error", "windows")
    assert [found["late"][name] for name in said] == [0.8, 0.7, 0.9, 100.0, 0.03, 4]


async def test_what_is_not_known_is_null() -> None:
    found = (await asked({})).json()
    assert found == {"task": "letters", "version": None, "reference": None, "judged": None, "late": None}
    empty = (await asked({"letters": ("1", Observation(quality=window(judge([], 5))))})).json()["judged"]
    assert (empty["weighted"], empty["lower"], empty["upper"], empty["predictions"]) == (None, None, None, 5)


async def test_of_a_task_that_is_not_there_nothing_is_known() -> None:
    assert (await asked({}, "none")).status_code == 404
