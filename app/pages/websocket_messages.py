"""Validation of the pages' websocket messages: NiceGUI assumes that its own pages sent them."""

from collections.abc import Callable
from inspect import isawaitable
from typing import Any
from urllib.parse import parse_qs

from nicegui import core
from socketio.exceptions import ConnectionRefusedError as SocketRefused

_REQUIRED_FIELDS = {
    "handshake": {"client_id", "tab_id", "document_id"},
    "event": {"client_id", "id", "listener_id"},
    "javascript_response": {"client_id", "request_id"},
    "ack": {"client_id", "next_message_id"},
    "log": {"client_id", "level", "message"},
}
"""The fields that a message of each kind must have."""


def install_message_checks() -> None:
    """Ignore messages that lack a field, and refuse such connections. Call this once in a process."""
    handlers = core.sio.handlers["/"]
    for kind, names in _REQUIRED_FIELDS.items():
        core.sio.on(kind, _with_message_check(handlers[kind], names))
    connect = handlers["connect"]

    async def checked_connect(sid: str, environ: dict[str, Any], *_: Any) -> Any:
        parameters = {name for name, values in parse_qs(environ.get("QUERY_STRING", "")).items() if values}
        if "implicit_handshake" in parameters and not parameters >= _REQUIRED_FIELDS["handshake"]:
            raise SocketRefused("not a page of this server")
        return await connect(sid, environ)

    core.sio.on("connect", checked_connect)


def _with_message_check(handle: Callable[..., Any], names: set[str]) -> Callable[..., Any]:
    async def checked_handle(sid: str, message: Any = None, *_: Any) -> Any:
        if not isinstance(message, dict) or not message.keys() >= names:
            return False
        result = handle(sid, message)
        return await result if isawaitable(result) else result

    return checked_handle
