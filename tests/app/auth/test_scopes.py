"""Scopes of the routes, and the actor of a request with a key."""

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

OPEN_PATHS = {"/healthz", "/livez", "/readyz", "/login", "/logout"}
CORRECTION = {"correction": {"text": "123"}, "prediction_id": "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"}


def declared_scopes(app: FastAPI) -> Mapping[str, list[Any]]:
    """Return the scopes that each route declares, by its methods and path."""
    return {
        f"{' '.join(sorted(route.methods or ()))} {route.path}": [
            dependency.call.scope
            for dependency in route.dependant.dependencies
            if isinstance(dependency.call, RequireScope | AllowAnyone)
        ]
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute)
    }


def test_every_route_declares_one_scope(brokerless: Settings) -> None:
    scopes_of_routes = declared_scopes(create_app(brokerless))
    assert {route for route, scopes in scopes_of_routes.items() if len(scopes) != 1} == set()
    assert {route.split()[1] for route, [scope] in scopes_of_routes.items() if scope is None} == OPEN_PATHS
    assert {scope for _, [scope] in scopes_of_routes.items() if scope is not None} == set(SCOPES)


def test_routes_that_change_something_need_more_than_the_scope_read(brokerless: Settings) -> None:
    changing = [
        scopes
        for route, scopes in declared_scopes(create_app(brokerless)).items()
        if not route.startswith("GET") and scopes != [None]
    ]
    assert changing
    assert ["read"] not in changing


def test_everything_below_v1_is_a_route(brokerless: Settings) -> None:
    routes = iter_route_contexts(create_app(brokerless).routes)
    others = [route for route in routes if not isinstance(route.original_route, APIRoute)]
    assert not [route for route in others if str(getattr(route, "path", "/v1")).startswith("/v1")]


@pytest.mark.parametrize(
    ("method", "path", "body", "scope"),
    [
        ("GET", "/v1/models", None, "read"),
        ("GET", "/v1/predictions/x/payload", None, "read"),
        ("POST", "/v1/feedback", CORRECTION, "feedback"),
        ("DELETE", "/v1/feedback/1", None, "feedback"),
        ("POST", "/v1/blobs", {}, "feedback"),
        ("POST", "/v1/models/ocr/1:promote", {"reason": "better"}, "operate"),
        ("POST", "/v1/retraining/ocr", {}, "operate"),
    ],
)
async def test_the_refusal_of_a_key_names_the_scope_that_it_lacks(
    brokerless: Settings, tmp_path: Path, method: str, path: str, body: Any, scope: str
) -> None:
    config = brokerless.model_copy(update={"home": tmp_path})
    token = KeyStore(config.catalog_url).create("other", frozenset(SCOPES) - {scope})
    async with serve_app(create_app(config)) as http:
        response = await http.request(method, path, json=body, headers={"X-API-Key": token})
    assert response.status_code == 403
    assert f"'{scope}'" in response.json()["detail"]


async def post_feedback(
    config: Settings, monkeypatch: pytest.MonkeyPatch, token: str, **fields: str
) -> tuple[httpx.Response, list[Record]]:
    published: list[Record] = []

    async def publish(self: Any, record: Record) -> None:
        published.append(record)

    monkeypatch.setattr("app.kafka.resilient_producer.ResilientProducer.publish", publish)
    async with serve_app(create_app(config)) as http:
        return await http.post("/v1/feedback", json=CORRECTION | fields, headers={"X-API-Key": token}), published


@pytest.mark.parametrize(("fields", "actor"), [({}, "ada"), ({"actor": "bob"}, "bob")])
async def test_feedback_is_attributed_to_its_actor_or_to_the_name_of_the_key(
    brokerless: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], actor: str
) -> None:
    config = brokerless.model_copy(update={"home": tmp_path})
    token = KeyStore(config.catalog_url).create("ada", frozenset({"feedback"}))
    response, [record] = await post_feedback(config, monkeypatch, token, **fields)
    assert response.status_code == 202
    assert f'"actor":"{actor}"'.encode() in (record.value or b"")


async def test_feedback_with_a_key_without_a_name_needs_an_actor(
    brokerless: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = brokerless.model_copy(update={"api_key": SecretStr("s3cret")})
    response, published = await post_feedback(config, monkeypatch, "s3cret")
    assert (response.status_code, published) == (422, [])
    assert response.json() == {"detail": "actor: Field required, because the request has no key with a name"}
