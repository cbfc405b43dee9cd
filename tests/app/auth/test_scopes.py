"""What each route needs, and who says what comes by a key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import SecretStr

from app.api.app import create_app
from app.auth.keys import KeyStore
from app.auth.scopes import SCOPES, AllowAnyone, RequireScope
from app.events.cloudevents import Record
from app.settings import Settings
from tests.support.asgi_client import serve_app

WITHOUT = {"/healthz", "/livez", "/readyz", "/login", "/logout"}
RIGHT = {"correction": {"text": "123"}, "prediction_id": "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"}


def declared(app: FastAPI) -> Mapping[str, list[Any]]:
    """The scopes that each route declares, by its methods and path."""
    return {
        f"{' '.join(sorted(route.methods or ()))} {route.path}": [
            one.call.scope for one in route.dependant.dependencies if isinstance(one.call, RequireScope | AllowAnyone)
        ]
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute)
    }


def test_every_route_declares_one_scope(brokerless: Settings) -> None:
    found = declared(create_app(brokerless))
    assert {route for route, scopes in found.items() if len(scopes) != 1} == set()
    assert {route.split()[1] for route, [scope] in found.items() if scope is None} == WITHOUT
    assert {scope for _, [scope] in found.items() if scope is not None} == set(SCOPES)


def test_what_changes_something_is_not_for_who_may_only_read(brokerless: Settings) -> None:
    found = declared(create_app(brokerless))
    changing = {route: scopes for route, scopes in found.items() if not route.startswith("GET") and scopes != [None]}
    assert changing
    assert ["read"] not in changing.values()


def test_below_v1_there_is_nothing_but_routes(brokerless: Settings) -> None:
    routes = iter_route_contexts(create_app(brokerless).routes)
    others = [route for route in routes if not isinstance(route.original_route, APIRoute)]
    assert not [route for route in others if str(getattr(route, "path", "/v1")).startswith("/v1")]


@pytest.mark.parametrize(
    ("method", "path", "body", "scope"),
    [
        ("GET", "/v1/models", None, "read"),
        ("GET", "/v1/predictions/x/payload", None, "read"),
        ("POST", "/v1/feedback", RIGHT, "feedback"),
        ("POST", "/v1/blobs", {}, "feedback"),
        ("POST", "/v1/models/ocr/1:promote", {"reason": "better"}, "operate"),
        ("POST", "/v1/retraining/ocr", {}, "operate"),
    ],
)
async def test_a_key_without_the_scope_is_refused_and_told_which(
    brokerless: Settings, tmp_path: Path, method: str, path: str, body: Any, scope: str
) -> None:
    config = brokerless.model_copy(update={"home": tmp_path})
    token = KeyStore(config.catalog_url).create("other", frozenset(SCOPES) - {scope})
    async with serve_app(create_app(config)) as http:
        answer = await http.request(method, path, json=body, headers={"X-API-Key": token})
    assert answer.status_code == 403
    assert f"'{scope}'" in answer.json()["detail"]


async def feedback(
    config: Settings, monkeypatch: pytest.MonkeyPatch, token: str, **said: str
) -> tuple[httpx.Response, list[Record]]:
    published: list[Record] = []

    async def publish(self: Any, record: Record) -> None:
        published.append(record)

    monkeypatch.setattr("app.kafka.resilient_producer.ResilientProducer.publish", publish)
    async with serve_app(create_app(config)) as http:
        return await http.post("/v1/feedback", json=RIGHT | said, headers={"X-API-Key": token}), published


@pytest.mark.parametrize(("said", "actor"), [({}, "ada"), ({"actor": "bob"}, "bob")])
async def test_feedback_is_said_by_whom_it_names_or_by_whom_the_key_does(
    brokerless: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, str], actor: str
) -> None:
    config = brokerless.model_copy(update={"home": tmp_path})
    token = KeyStore(config.catalog_url).create("ada", frozenset({"feedback"}))
    answer, [record] = await feedback(config, monkeypatch, token, **said)
    assert answer.status_code == 202
    assert f'"actor":"{actor}"'.encode() in (record.value or b"")


async def test_by_a_key_without_a_name_somebody_has_to_be_named(
    brokerless: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = brokerless.model_copy(update={"api_key": SecretStr("s3cret")})
    answer, published = await feedback(config, monkeypatch, "s3cret")
    assert (answer.status_code, published) == (422, [])
    assert answer.json() == {"detail": "actor: Field required"}
