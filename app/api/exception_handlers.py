"""Error responses to invalid input, unknown methods and aborted uploads."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import ClientDisconnect
from starlette.routing import Route


def add_exception_handlers(app: FastAPI) -> None:
    """Add the handlers to the application."""
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(ClientDisconnect, _client_disconnected)
    app.add_exception_handler(405, _method_not_allowed)


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": "; ".join(_format_problem(problem) for problem in error.errors())}, 422)


def _format_problem(problem: dict[str, object]) -> str:
    if problem["type"] == "json_invalid":
        return f"the body is not JSON: {problem['ctx']['error']}"  # type: ignore[index]
    location = problem["loc"]
    assert isinstance(location, tuple)
    name = ".".join(str(part) for part in location[1:])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def _method_not_allowed(request: Request, error: Exception) -> Response:
    """Allow the methods of all routes with this path: Starlette names only those of the first."""
    routes = [context.original_route for context in iter_route_contexts(request.app.routes)]
    path = request.url.path
    matching = [route for route in routes if isinstance(route, Route | APIRoute) and route.path_regex.match(path)]
    methods = sorted({method for route in matching for method in route.methods or ()})
    return JSONResponse({"detail": "Method Not Allowed"}, 405, {"Allow": ", ".join(methods)})


def _client_disconnected(request: Request, error: Exception) -> Response:
    # Nobody reads this response. Without it the log would have a traceback for each aborted upload.
    return Response(status_code=400)
