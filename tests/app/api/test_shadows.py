from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.api import shadows
from app.auth.scopes import REQUIRE_READ
from app.catalog.catalog import Catalog
from app.events.model_events import RouteChanged
from app.registry.registry import RouteChange, TaskModels
from app.settings import Settings
from tests.support.catalog_fixtures import TASK, make_outcome, make_prediction, open_catalog
from tests.support.record_strategies import START
from tests.support.scales import Scales


def make_models(*shadow_versions: str) -> TaskModels:
    changed = RouteChanged(
        task=TASK, action="shadow", champion="1", shadows=shadow_versions, reason="a trial", actor="ada"
    )
    return TaskModels(TASK, {}, changes=[RouteChange("1", START, changed)])


async def get_shadows(catalog: Any, models: TaskModels, query: str = "", task: str = TASK) -> httpx.Response:
    controller: Any = SimpleNamespace(models={TASK: models})
    app = FastAPI()
    app.include_router(shadows.router(Settings(), {TASK: Scales()}, controller, catalog))
    require_read: Any = REQUIRE_READ[0].dependency
    app.dependency_overrides[require_read] = lambda: None  # there is no authentication here
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        return await http.get(f"/v1/models/{task}/shadows{query}")


@pytest.fixture
def catalog(tmp_path: Path) -> Any:
    """A catalog in which version 3 is right, and version 2 is not."""
    records = []
    for request in range(200):
        at = START + timedelta(seconds=request)
        records += [
            replace(make_prediction(request, at, output={"weight": 5.0}), key=str(request).encode()),
            make_prediction(request, at, "2", "shadow", output={"weight": 0.0}),
            make_prediction(request, at, "3", "shadow", output={"weight": 5.0}),
            make_outcome(request, at, score=1.0, label={"weight": 5.0}),
        ]
    with open_catalog(tmp_path, records) as opened:
        yield opened


async def test_shadows_are_compared_with_each_other_and_the_champion(catalog: Catalog) -> None:
    body = (await get_shadows(catalog, make_models("2", "3"))).json()
    assert (body["task"], body["champion"], body["best"], body["is_decided"]) == (TASK, "1", "3", True)
    best, worst = body["shadows"]
    assert (best["version"], best["eliminated"], worst["version"]) == ("3", None, "2")
    assert [(loss["other"], loss["requests"]) for loss in worst["losses"]] == [("1", 200), ("3", 200)]
    assert "below that of version 1" in worst["eliminated"]
    assert worst["losses"][0]["lower"] < worst["losses"][0]["mean"] < worst["losses"][0]["upper"]


async def test_only_the_named_shadows_are_compared(catalog: Catalog) -> None:
    body = (await get_shadows(catalog, make_models("2", "3"), "?version=3&version=3")).json()
    assert [shadow["version"] for shadow in body["shadows"]] == ["3"]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [("?version=4", 409, "Version 4 of scales is not a shadow."), ("?version=x", 422, "pattern")],
)
async def test_versions_that_are_not_shadows_are_refused(query: str, status: int, reason: str) -> None:
    response = await get_shadows(None, make_models("2", "3"), query)
    assert (response.status_code, reason in response.text) == (status, True)


async def test_a_task_without_shadows_tells_how_to_start_one() -> None:
    response = await get_shadows(None, make_models())
    assert response.status_code == 409
    assert "hindsight models shadow scales VERSION" in response.json()["detail"]


async def test_an_unknown_task_has_no_shadows() -> None:
    assert (await get_shadows(None, make_models(), task="none")).status_code == 404
