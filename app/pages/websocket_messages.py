"""What comes by the pages' websocket, checked: NiceGUI takes for granted that a page of its own has sent it."""

from collections.abc import Callable
from inspect import isawaitable
from typing import Any
from urllib.parse import parse_qs

from nicegui import core
from socketio.exceptions import ConnectionRefusedError as Refused

_REQUIRED_FIELDS = {
    "handshake": {"client_id", "tab_id", "document_id"},
    "event": {"client_id", "id", "listener_id"},
    "javascript_response": {"client_id", "request_id"},
    "ack": {"client_id", "next_message_id"},
    "log": {"client_id", "level", "message"},
}
"""What a message of each kind has at least."""


def install_message_checks() -> None:
    """Ignore messages that lack something, and refuse such connections. Once in a process."""
    handlers = core.sio.handlers["/"]
    for kind, names in _REQUIRED_FIELDS.items():
        core.sio.on(kind, _with_message_check(handlers[kind], names))
    connect = handlers["connect"]

    async def connected(sid: str, environ: dict[str, Any], *_: Any) -> Any:
        asked = {name for name, values in parse_qs(environ.get("QUERY_STRING", "")).items() if values}
        if "implicit_handshake" in asked and not asked >= _REQUIRED_FIELDS["handshake"]:
            raise Refused("no page of this server")
        return await connect(sid, environ)

    core.sio.on("connect", connected)


def _with_message_check(handle: Callable[..., Any], names: set[str]) -> Callable[..., Any]:
    async def handled(sid: str, message: Any = None, *_: Any) -> Any:
        if not isinstance(message, dict) or not message.keys() >= names:
            return False
        answer = handle(sid, message)
        return await answer if isawaitable(answer) else answer

    return handled
