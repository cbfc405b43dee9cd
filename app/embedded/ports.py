"""Ports that this deployment listens on: which ones, whether they are free, and which process holds them."""

import errno
import random
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import psutil

from app.errors import SetupError
from app.settings import Settings

LOOPBACK = "127.0.0.1"
PROCESS_BY_SETTING = {name: name.partition("_")[0] for name in Settings.model_fields if name.endswith("_port")}
"""Port setting -> the process that listens on it: the first word of the setting's name."""


@dataclass(frozen=True)
class Port:
    """A port that this deployment needs."""

    setting: str
    process: str
    host: str
    number: int

    @property
    def variable(self) -> str:
        """Name of the environment variable that sets the port."""
        return f"HINDSIGHT_{self.setting.upper()}"

    @property
    def is_free(self) -> bool:
        """Whether a server could listen on the port now."""
        return is_free(self.host, self.number)


def required_ports(config: Settings, processes: Collection[str] | None = None) -> list[Port]:
    """Return the ports of the given processes, by default of all that this deployment runs."""
    return [
        Port(setting, process, config.bind_host(process), getattr(config, setting))
        for setting, process in PROCESS_BY_SETTING.items()
        if (processes is None or process in processes) and (process != "kafka" or config.embedded_kafka)
    ]


def _is_available(port: Port) -> bool:
    try:
        return port.is_free
    except OSError as error:
        raise SetupError(
            f"Nothing can listen on {port.host}: {error.strerror}.",
            f"Set the address that {port.process} binds to, HINDSIGHT_HOST for the API, to one of this machine.",
        ) from error


def is_free(host: str, number: int) -> bool:
    """Return whether a server could listen there now. Raises OSError for an address that is not this machine's."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: ignore closing connections
        try:
            probe.bind((host, number))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def listening_process(number: int) -> psutil.Process | None:
    """Return the process that listens on a port, or None if there is none or this user may not see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (number,)
            if listens and connection.pid:
                return psutil.Process(connection.pid)
    except psutil.Error:
        pass
    return None


def describe_process(process: psutil.Process | None) -> str:
    """Describe a process for a message."""
    if process is None:
        return "a process of another user (`sudo lsof -i` shows it)"
    try:
        return f"process {process.pid} ({' '.join(process.cmdline())[:80]})"
    except psutil.Error:
        return f"process {process.pid}"


def find_conflicts(required: Iterable[Port]) -> list[tuple[Port, Port]]:
    """Return the pairs of ports with the same number."""
    first_by_number: dict[int, Port] = {}
    pairs = [(first_by_number.setdefault(port.number, port), port) for port in required]
    return [(first, second) for first, second in pairs if first is not second]


def check_ports(config: Settings, processes: Collection[str] | None = None) -> None:
    """Raise a SetupError if a port is taken, set twice or cannot be bound."""
    required = required_ports(config, processes)
    for first, second in find_conflicts(required):
        raise SetupError(
            f"{first.variable} and {second.variable} are both {first.number}.",
            f"Set {second.variable} to another port.",
        )
    taken = [port for port in required if not _is_available(port)]
    if taken:
        raise SetupError(
            "\n".join(
                f"Port {port.number}, needed by {port.process}, is held by "
                f"{describe_process(listening_process(port.number))}."
                for port in taken
            ),
            "Stop that process, or choose another port: "
            + " ".join(f"{port.variable}={free_port()}" for port in taken)
            + ". HINDSIGHT_PORT_BASE=18000 moves all ports at once.",
        )


FREE_PORT_RANGE = range(20_000, 32_000)
"""Range in which free ports are searched: below the ports that the system gives to outgoing connections."""


def free_ports(count: int) -> list[int]:
    """Return distinct ports of `FREE_PORT_RANGE` on which no process listens."""
    numbers: list[int] = []
    for number in random.sample(FREE_PORT_RANGE, len(FREE_PORT_RANGE) // 3):
        if len(numbers) == count:
            break
        if is_free(LOOPBACK, number):
            numbers.append(number)
    return numbers


def free_port() -> int:
    """Return a port on which no process listens."""
    return free_ports(1)[0]
