from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import SetupError
from app.pages.registry import route_changes
from app.registry.registry import Registry, TaskModels
from app.registry.routes import Route
from tests.support.scales import Scales


def models(route: Route, before: str | None = None) -> TaskModels:
    """The scales with this route."""
    found: Any = SimpleNamespace(**vars(Registry([Scales()]).tasks["scales"]), route=route, previous_champion=before)
    return found  # type: ignore[no-any-return]


def offered(version: str, route: Route, before: str | None = None) -> list[str]:
    return [one.kind for one in route_changes.options_for_version(models(route, before), version)]


def test_what_may_be_done_depends_on_the_role() -> None:
    route = Route("1", "2", 0.05, ("3",))
    assert offered("1", route) == []
    assert offered("1", route, before="0") == ["rollback"]
    assert offered("2", route) == ["promote", "rollback"]
    assert offered("3", route) == ["promote", "canary", "rollback"]
    assert offered("4", route) == ["promote", "canary", "shadow"]


def test_each_says_what_will_come_of_it() -> None:
    [back] = route_changes.options_for_version(models(Route("2"), before="1"), "2")
    assert back.title == "Roll back to 1"
    assert back.text == "Version 1 answers the requests of scales again, and version 2 none."


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ada", "")])
async def test_nothing_is_changed_without_a_name_and_a_reason(actor: str, reason: str) -> None:
    [change, *_] = route_changes.options_for_version(models(replace(Route("1"), shadows=())), "2")
    with pytest.raises(SetupError):
        await route_changes.apply_change(None, "scales", change, {"reason": reason}, actor)  # type: ignore[arg-type]
