"""The keys of the review page, without a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from nicegui import Client, context, ui
from nicegui.page import page
from starlette.requests import Request

from app.auth.scopes import UNRESTRICTED_CALLER, set_caller
from app.pages import layout
from app.pages.elements import Node
from app.pages.review.review_session import ReviewItem
from app.pages.review.session_view import SessionView
from app.services.payloads import Payload
from tests.support.tasks import Letters

PREDICTION = {
    "output": {"action": "a", "probabilities": {"a": 0.7, "b": 0.3}},
    "feedback": [],
    "model": {"version": "1"},
    "role": "champion",
    "confidence": 0.7,
    "propensity": 0.7,
    "time": datetime(2026, 1, 1, tzinfo=UTC),
    "outcome": None,
}


class Session:
    """A session of one item that keeps the feedback."""

    task, queue = "letters", "audit"

    def __init__(self) -> None:
        self.item = ReviewItem("letters:1", PREDICTION, "audit", Payload(b"{}", "application/json", "payload"), "")
        self.submitted: list[Any] = []
        self.is_blind = False
        self.feedback: list[dict[str, Any]] = []

    async def submit(self, actor: str, **fields: Any) -> None:
        self.feedback.append({"actor": actor} | fields)

    async def skip(self) -> ReviewItem:
        return self.item

    async def next(self) -> ReviewItem:
        return self.item

    async def renew_claims(self) -> None:
        """Keep no claims."""


@pytest.fixture(autouse=True)
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "run_javascript", lambda code: None)


@asynccontextmanager
async def open_view(session: Session) -> AsyncIterator[SessionView]:
    """Show the session on a page without a browser, to a viewer who may do everything."""
    scope: dict[str, Any] = {"type": "http", "headers": [], "path": "/review", "query_string": b""}
    set_caller(scope, UNRESTRICTED_CALLER)
    services: Any = SimpleNamespace(tasks={"letters": Letters()})
    reviewed: Any = session
    with Client(page("/review"), request=Request(scope)):
        viewer = layout.Viewer()
        viewer.name = "ada"
        view = SessionView(services, reviewed, viewer)
        await view.start("")
        yield view


def texts() -> set[str]:
    """Return the texts of the page."""
    elements = context.client.elements.values()
    return {element._text for element in elements if isinstance(element, Node) and element._text}


async def test_the_first_button_says_that_enter_sends_a_correction() -> None:
    async with open_view(Session()) as view:
        for key, text in (("s", "Right"), ("2", "Send correction"), ("1", "Right")):  # 1 is the served action
            await view.on_key(key)
            assert texts() & {"Right", "Send correction"} == {text}


async def test_a_chosen_action_is_sent_by_enter() -> None:
    async with open_view(session := Session()) as view:
        await view.on_key("2")
        await view.on_key("Enter")
    assert session.feedback == [{"actor": "ada", "correction": {"action": "b"}}]


@pytest.mark.parametrize("key", ["+", "0", "-", "x"])
async def test_no_key_judges_the_served_action_while_another_is_chosen(key: str) -> None:
    async with open_view(session := Session()) as view:
        await view.on_key("2")
        await view.on_key(key)
        assert session.feedback == []
        assert any(text.startswith("Nothing was sent: you changed the prediction") for text in texts())
        await view.on_key("Escape")
        assert "Right" in texts()
        await view.on_key(key)
        assert len(session.feedback) == 1


async def test_the_error_of_a_missing_name_goes_when_the_name_is_there() -> None:
    async with open_view(Session()) as view:
        view._viewer.name = ""
        await view.on_key("Enter")
        assert any(text.startswith("Enter your name first") for text in texts())
        view._viewer.set_name(" ada ")
        assert "Feedback is given in the name of ada." in texts()
        assert not any(text.startswith("Enter your name first") for text in texts())


async def test_a_blind_answer_is_the_reviewers_own_until_the_output_is_shown() -> None:
    session = Session()
    session.is_blind = True
    async with open_view(session) as view:
        for key in ("Enter", "x", "+"):
            await view.on_key(key)
        assert session.feedback == []
        assert any(text.startswith("Nothing was sent: enter your own answer first.") for text in texts())
        assert not texts() & {"served", "70.0%", "0.700"}
        await view.on_key("o")
        assert texts() >= {"served", "70.0%", "0.700"}
        await view.on_key("Enter")
    assert session.feedback == [{"actor": "ada", "accepted": True}]


async def test_a_blind_answer_that_equals_the_hidden_output_is_sent_as_a_correction() -> None:
    session = Session()
    session.item = replace(session.item, payload=Payload(b'{"actions": [{"id": "a"}]}', "application/json", "payload"))
    session.is_blind = True
    async with open_view(session) as view:
        await view.on_key("1")
        await view.on_key("Enter")
    assert session.feedback == [{"actor": "ada", "correction": {"action": "a"}}]
