"""The API's description, `/openapi.json`: what FastAPI knows of the routes, and what is answered before it is asked."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

COMMON_RESPONSES = {"400": "The request is malformed; the reason says how."}
KEY_RESPONSES = {
    "401": "The key is missing or wrong.",
    "403": "The key has not got the scope that is needed.",
    "503": "The keys can't be looked at: try again after Retry-After.",
}
BODY_RESPONSES = {"413": "The body is too large."}
INPUT_RESPONSES = {"422": "What is asked for is wrong; the reason says how."}
_HTTP_METHODS = {"get", "put", "post", "delete", "patch"}


class Problem(BaseModel):
    """Why a request is refused, of every status."""

    detail: str


def openapi_schema(app: FastAPI) -> dict[str, Any]:
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
            for method in path.keys() & _HTTP_METHODS:
                path[method]["responses"] = _standard_responses(path[method])
        app.openapi_schema = made
    return app.openapi_schema


def _standard_responses(operation: dict[str, Any]) -> dict[str, Any]:
    documented: dict[str, Any] = operation["responses"]
    refusals = dict(COMMON_RESPONSES)
    if "security" in operation:
        refusals |= KEY_RESPONSES
    if "requestBody" in operation:
        refusals |= BODY_RESPONSES
    if "requestBody" in operation or "parameters" in operation:
        refusals |= INPUT_RESPONSES
    found = {status: {"description": reason} for status, reason in refusals.items()} | documented
    for status, response in found.items():
        if status.startswith(("4", "5")):
            if status == "422" and response.get("description") == "Validation Error":
                response["description"] = INPUT_RESPONSES["422"]
                del response["content"]
            content = response.setdefault("content", {}).setdefault("application/json", {})
            content.setdefault("schema", {"$ref": f"#/components/schemas/{Problem.__name__}"})
    return dict(sorted(found.items()))
