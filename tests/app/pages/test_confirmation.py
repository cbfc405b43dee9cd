"""The confirmation dialog, without a browser."""

import pytest
from nicegui import Client, context, ui
from nicegui.page import page

from app.pages.confirmation import ConfirmationDialog, FieldValues
from app.pages.elements import Node


def texts() -> set[str]:
    return {node._text or "" for node in context.client.elements.values() if isinstance(node, Node)}


async def test_a_confirmed_action_runs_once_and_its_result_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "run_javascript", lambda code: None)
    ran: list[FieldValues] = []

    async def remove(values: FieldValues) -> str:
        ran.append(values)
        return "The dataset was removed."

    with Client(page("/")):
        dialog = ConfirmationDialog()
        dialog.ask("Remove", "This deletes the rows.", remove, needs_reason=False)
        assert {"Remove", "This deletes the rows."} <= texts()
        await dialog._on_confirm()
        await dialog._on_confirm()
        assert "The dataset was removed." in texts()
    assert ran == [{}]


def test_enter_confirms_in_the_reason_or_else_on_the_first_button(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "run_javascript", lambda code: None)

    async def ignore(values: FieldValues) -> str:
        return ""

    with Client(page("/")):
        dialog = ConfirmationDialog()
        dialog.ask("Promote", "It answers.", ignore)
        nodes = [node for node in context.client.elements.values() if isinstance(node, Node)]
        [reason] = [node for node in nodes if node._props.get("data-field") == "reason"]
        assert any(listener.type == "keydown.enter" for listener in reason._event_listeners.values())
        assert [node._text for node in nodes if node.tag == "button"] == ["Promote", "Cancel"]
