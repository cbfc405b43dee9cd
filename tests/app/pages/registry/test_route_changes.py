from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import SetupError
from app.pages.registry import route_changes
from app.registry.registry import Registry, TaskModels
from app.registry.routes import Route
from tests.support.scales import Scales


def task_models(route: Route, previous_champion: str | None = None) -> TaskModels:
    """Return the models of the task `scales` with this route."""
    attributes = vars(Registry([Scales()]).tasks["scales"])
    models: Any = SimpleNamespace(**attributes, route=route, previous_champion=previous_champion)
    return models  # type: ignore[no-any-return]


def option_kinds(version: str, route: Route, previous_champion: str | None = None) -> list[str]:
    options = route_changes.options_for_version(task_models(route, previous_champion), version)
    return [option.kind for option in options]


def test_the_offered_changes_depend_on_the_role() -> None:
    route = Route("1", "2", 0.05, ("3",))
    assert option_kinds("1", route) == []
    assert option_kinds("1", route, previous_champion="0") == ["rollback"]
    assert option_kinds("2", route) == ["promote", "rollback"]
    assert option_kinds("3", route) == ["promote", "canary", "rollback"]
    assert option_kinds("4", route) == ["promote", "canary", "shadow"]


def test_a_change_is_offered_with_its_effect() -> None:
    [rollback] = route_changes.options_for_version(task_models(Route("2"), previous_champion="1"), "2")
    assert rollback.title == "Roll back to 1"
    assert rollback.text == "Version 1 answers all requests of scales again, and version 2 none."


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ada", "")])
async def test_a_change_needs_a_name_and_a_reason(actor: str, reason: str) -> None:
    [change, *_] = route_changes.options_for_version(task_models(replace(Route("1"), shadows=())), "2")
    with pytest.raises(SetupError):
        await route_changes.apply_change(None, "scales", change, {"reason": reason}, actor)  # type: ignore[arg-type]


async def test_the_result_of_a_change_is_its_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[Any] = []

    class Writer:
        def __init__(self, *arguments: Any) -> None: ...

        async def change_route(self, *arguments: Any) -> None:
            applied.append(arguments)

    monkeypatch.setattr(route_changes, "RegistryWriter", Writer)
    services: Any = SimpleNamespace(settings=None, tasks={"scales": None}, producer=SimpleNamespace(publish=None))
    [change] = route_changes.options_for_version(task_models(Route("2"), previous_champion="1"), "2")
    result = await route_changes.apply_change(services, "scales", change, {"reason": "worse"}, "ada")
    assert applied == [("rollback", "2", 0.0, "worse", "ada")]
    assert result == "Done. Version 1 answers all requests of scales again, and version 2 none."
