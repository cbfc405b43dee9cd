"""`/openapi.json`: FastAPI's description of the routes, with the error responses that all routes have in common."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

COMMON_RESPONSES = {"400": "The request is malformed; see the reason."}
KEY_RESPONSES = {
    "401": "The key is missing or wrong.",
    "403": "The key lacks the scope that the route needs.",
    "503": "The keys can't be read: try again after Retry-After.",
}
BODY_RESPONSES = {"413": "The body is too large."}
INPUT_RESPONSES = {"422": "The input is not valid; see the reason."}
_HTTP_METHODS = {"get", "put", "post", "delete", "patch"}


class Problem(BaseModel):
    """The reason of an error response."""

    detail: str


def openapi_schema(app: FastAPI) -> dict[str, Any]:
    """Return the description, which is built once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        components = schema["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, replaced by `Problem`
            components.pop(name, None)
        components[Problem.__name__] = Problem.model_json_schema()
        for path in schema["paths"].values():
            for method in path.keys() & _HTTP_METHODS:
                path[method]["responses"] = _with_error_responses(path[method])
        app.openapi_schema = schema
    return app.openapi_schema


def _with_error_responses(operation: dict[str, Any]) -> dict[str, Any]:
    documented: dict[str, Any] = operation["responses"]
    errors = dict(COMMON_RESPONSES)
    if "security" in operation:
        errors |= KEY_RESPONSES
    if "requestBody" in operation:
        errors |= BODY_RESPONSES
    if "requestBody" in operation or "parameters" in operation:
        errors |= INPUT_RESPONSES
    responses = {status: {"description": description} for status, description in errors.items()} | documented
    for status, response in responses.items():
        if status.startswith(("4", "5")):
            if status == "422" and response.get("description") == "Validation Error":
                response["description"] = INPUT_RESPONSES["422"]
                del response["content"]
            content = response.setdefault("content", {}).setdefault("application/json", {})
            content.setdefault("schema", {"$ref": f"#/components/schemas/{Problem.__name__}"})
    return dict(sorted(responses.items()))
