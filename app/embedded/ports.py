"""The ports that this deployment listens on: which, whether they are free, and who holds them."""

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
"""Each setting that is a port, and the process that listens on it: the first word of the setting's name."""


@dataclass(frozen=True)
class Port:
    """One port that this deployment needs."""

    setting: str
    process: str
    host: str
    number: int

    @property
    def variable(self) -> str:
        """The environment variable that changes it."""
        return f"HINDSIGHT_{self.setting.upper()}"

    @property
    def is_free(self) -> bool:
        """Whether it can be listened on now."""
        return is_free(self.host, self.number)


def required_ports(config: Settings, processes: Collection[str] | None = None) -> list[Port]:
    """The ports of the given processes, or of all that this deployment runs."""
    return [
        Port(setting, process, bind_host(config, process), getattr(config, setting))
        for setting, process in PROCESS_BY_SETTING.items()
        if (processes is None or process in processes) and (process != "kafka" or config.embedded_kafka)
    ]


def _is_number_valid(port: Port) -> bool:
    try:
        return port.is_free
    except OSError as error:
        raise SetupError(
            f"Nothing can listen on {port.host}: {error.strerror}.",
            f"Set the address that {port.process} binds to, HINDSIGHT_HOST for the API, to one of this machine.",
        ) from error


def bind_host(config: Settings, process: str) -> str:
    """The address that a process binds to."""
    if process in ("kafka", "prometheus", "alertmanager"):
        return LOOPBACK
    return {"api": config.host, "mlserver": config.mlserver_host}.get(process, config.metrics_host)


def is_free(host: str, number: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closing connections don't count
        try:
            probe.bind((host, number))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def listening_process(number: int) -> psutil.Process | None:
    """The process that listens on a port, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (number,)
            if listens and connection.pid:
                return psutil.Process(connection.pid)
    except psutil.Error:
        pass
    return None


def describe_process(process: psutil.Process | None) -> str:
    """A process in the words of a message."""
    if process is None:
        return "another process (of another user: `sudo lsof -i` names it)"
    try:
        return f"process {process.pid} ({' '.join(process.cmdline())[:80]})"
    except psutil.Error:
        return f"process {process.pid}"


def find_conflicts(wanted: Iterable[Port]) -> list[tuple[Port, Port]]:
    """The ports that are wanted twice."""
    seen: dict[int, Port] = {}
    pairs = [(seen.setdefault(port.number, port), port) for port in wanted]
    return [(first, second) for first, second in pairs if first is not second]


def check_ports(config: Settings, processes: Collection[str] | None = None) -> None:
    """A SetupError when a port is taken, set twice or not to be had."""
    wanted = required_ports(config, processes)
    for first, second in find_conflicts(wanted):
        raise SetupError(
            f"{first.variable} and {second.variable} are both {first.number}.",
            f"Set {second.variable} to another port.",
        )
    taken = [port for port in wanted if not _is_number_valid(port)]
    if taken:
        raise SetupError(
            "\n".join(
                f"Port {port.number}, needed by {port.process}, is held by "
                f"{describe_process(listening_process(port.number))}."
                for port in taken
            ),
            "Stop what holds it, or choose another port: "
            + " ".join(f"{port.variable}={free_port()}" for port in taken)
            + ". HINDSIGHT_PORT_BASE=18000 moves all ports at once.",
        )


FREE_PORT_RANGE = range(20_000, 32_000)
"""Where free ports are looked for: below those that the system hands out to outgoing connections."""


def free_ports(count: int) -> list[int]:
    """Ports of `CHOICE` that nobody listens on."""
    found: list[int] = []
    for number in random.sample(FREE_PORT_RANGE, len(FREE_PORT_RANGE) // 3):
        if len(found) == count:
            break
        if is_free(LOOPBACK, number):
            found.append(number)
    return found


def free_port() -> int:
    """One port that nobody listens on."""
    return free_ports(1)[0]
