"""Addresses to bind to, and to connect to."""

import ipaddress


def reachable_host(host: str) -> str:
    """Return the address at which this machine reaches a server bound to this host: loopback if bound to all."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return host if address.version == 4 else f"[{host}]"
