"""Token authentication for MLServer: without the token, HTTP serves only its health, and gRPC nothing.

The model repository's calls are allowed by gRPC only: over HTTP a `POST` without a body is enough for them, and any web
page can make a browser send that.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from mlserver import MLServer
from mlserver import Settings as ServerSettings
from mlserver.grpc import GRPCServer
from mlserver.grpc.dataplane_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from mlserver.grpc.interceptors import PromServerInterceptor
from mlserver.grpc.servicers import InferenceServicer
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.inference.mlserver import token as tokens

PUBLIC_PATHS = {"/v2/health/live", "/v2/health/ready"}
REPOSITORY_PREFIX = "/v2/repository"
_NO_TOKEN = "MLServer's token is missing or wrong: use HINDSIGHT_HOME/mlserver.token or HINDSIGHT_MLSERVER_TOKEN"  # noqa: S105


class TokenMiddleware:
    """Refuses HTTP requests without the token, before their body is read, and all requests to the model repository."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 403, or pass the request on."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in PUBLIC_PATHS):
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif not tokens.has_token(Headers(scope=scope), self._token):
            await JSONResponse({"error": _NO_TOKEN}, 401)(scope, receive, send)
        elif scope["path"].startswith(REPOSITORY_PREFIX):
            await JSONResponse({"error": "models are loaded and unloaded by gRPC only"}, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class TokenInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Refuses calls of any method without the token, before their message is read."""

    def __init__(self, token: str) -> None:
        self._token = token
        # A handler of streams, because a handler of single messages is called only after the message was read.
        self._refusal = grpc.stream_stream_rpc_method_handler(_abort_unauthenticated)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return the handler of the call."""
        if tokens.has_token(dict(handler_call_details.invocation_metadata), self._token):
            return await continuation(handler_call_details)
        return self._refusal


async def _abort_unauthenticated(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, _NO_TOKEN)


class _AuthenticatedGRPCServer(GRPCServer):  # type: ignore[misc]  # mlserver has no types
    """MLServer's gRPC server with our interceptor, for which the original has no option.

    It serves the repository's calls once; the original also serves them as a second service.
    """

    def __init__(self, *handlers: Any, token: str) -> None:
        super().__init__(*handlers)
        self._token = token

    def _create_server(self) -> Any:
        self._server = grpc.aio.server(
            interceptors=[TokenInterceptor(self._token), PromServerInterceptor(enable_handling_time_histogram=True)],
            options=self._get_options(),
        )
        servicer = InferenceServicer(self._data_plane, self._model_repository_handlers)
        add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        self._server.add_insecure_port(f"{self._settings.host}:{self._settings.grpc_port}")
        return self._server


class AuthenticatedMLServer(MLServer):  # type: ignore[misc]  # mlserver has no types
    """MLServer that requires the token."""

    def __init__(self, settings: ServerSettings, token: str) -> None:
        self._token = token
        super().__init__(settings)

    def _create_servers(self) -> None:
        super()._create_servers()
        self._rest_server._app.add_middleware(TokenMiddleware, token=self._token)
        self._grpc_server = _AuthenticatedGRPCServer(
            self._settings, self._data_plane, self._model_repository_handlers, token=self._token
        )
