"""The API's description, `/openapi.json`: what FastAPI knows of the routes, and what is answered before it is asked."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

ALWAYS = {"400": "The request is malformed; the reason says how."}
KEYED = {
    "401": "The key is missing or wrong.",
    "403": "The key has not got the scope that is needed.",
    "503": "The keys can't be looked at: try again after Retry-After.",
}
WITH_BODY = {"413": "The body is too large."}
WITH_INPUT = {"422": "What is asked for is wrong; the reason says how."}
_METHODS = {"get", "put", "post", "delete", "patch"}


class Problem(BaseModel):
    """Why a request is refused, of every status."""

    detail: str


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the description, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        schemas = made["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's, in whose place is `_unprocessable`'s
            schemas.pop(name, None)
        schemas[Problem.__name__] = Problem.model_json_schema()
        for path in made["paths"].values():
            for method in path.keys() & _METHODS:
                path[method]["responses"] = _responses(path[method])
        app.openapi_schema = made
    return app.openapi_schema


def _responses(operation: dict[str, Any]) -> dict[str, Any]:
    documented: dict[str, Any] = operation["responses"]
    refusals = dict(ALWAYS)
    if "security" in operation:
        refusals |= KEYED
    if "requestBody" in operation:
        refusals |= WITH_BODY
    if "requestBody" in operation or "parameters" in operation:
        refusals |= WITH_INPUT
    found = {status: {"description": reason} for status, reason in refusals.items()} | documented
    for status, response in found.items():
        if status.startswith(("4", "5")):
            if status == "422" and response.get("description") == "Validation Error":
                response["description"] = WITH_INPUT["422"]
                del response["content"]
            content = response.setdefault("content", {}).setdefault("application/json", {})
            content.setdefault("schema", {"$ref": f"#/components/schemas/{Problem.__name__}"})
    return dict(sorted(found.items()))
