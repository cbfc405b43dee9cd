"""The addresses that processes bind to, and the hosts at which the others reach them."""

import ipaddress
from typing import Literal

from pydantic import BaseModel, Field


def reachable_host(host: str) -> str:
    """Return the address at which this machine reaches a server bound to this host: loopback if bound to all."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return host if address.version == 4 else f"[{host}]"


class HostSettings(BaseModel):
    """The settings of the addresses and hosts of a deployment's processes."""

    host: str = Field(
        "127.0.0.1", description="The address that the API binds to; an address other than loopback needs an API key."
    )
    metrics_host: str = Field("127.0.0.1", description="The address of each process's /metrics, which needs no key.")
    process_hosts: dict[str, str] = Field(
        {},
        description="The host at which the others reach a process, by its name in the Procfile, if it is not this "
        'machine: {"mlserver": "mlserver"}.',
    )
    kafka_host: Literal["127.0.0.1", "0.0.0.0"] = Field(  # noqa: S104
        "127.0.0.1", description="The address that the embedded broker binds to; 0.0.0.0 in a container."
    )
    kafka_advertised_host: str = Field(
        "", description="The host at which applications reach the embedded broker; empty is that of `process_hosts`."
    )
    mlserver_host: str = Field("127.0.0.1", description="The address that MLServer binds to.")

    def bind_host(self, process: str) -> str:
        """Return the address that a process of the Procfile binds to."""
        if process in ("prometheus", "alertmanager"):
            return "127.0.0.1"
        own = {"api": self.host, "mlserver": self.mlserver_host, "kafka": self.kafka_host}
        return own.get(process, self.metrics_host)

    def host_of(self, process: str) -> str:
        """Return the host at which the others reach a process of the Procfile."""
        return self.process_hosts.get(process) or reachable_host(self.bind_host(process))
