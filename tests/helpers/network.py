"""A process without a network: connections to other machines and look-ups of their names fail, and are noted."""

import ipaddress
import re
import socket
import sys
from pathlib import Path
from typing import Any

# The address of a name server may be on this machine; its question is not.
_TRACED = re.compile(r'htons\((?P<port>\d+)\).*?(?:inet_addr\(|AF_INET6?, )"(?P<host>[^"]+)"')


def deny_network(log: str | None = None) -> list[str]:
    """Deny the network to this process for ever, and return the list that each attempt is added to.

    Args:
        log: file to which a line is added for each attempt.
    """
    attempts: list[str] = []

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto"):
            address = arguments[1]
            host = address[0] if isinstance(address, tuple) else None  # a path, of a socket on this machine
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            host = arguments[0]
        else:
            return
        if not is_this_machine(host):
            attempts.append(f"{event} {host}")
            if log is not None:
                with Path(log).open("a") as file:
                    file.write(f"{event} {host}\n")
            raise PermissionError(f"the tests have no network: {event} {host}")

    sys.addaudithook(audit)
    return attempts


def is_this_machine(host: Any) -> bool:
    """Return whether an address or a name of a host is of this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name in ("localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(str(name).partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def traced_addresses(trace: str) -> list[str]:
    """Return the addresses outside this machine, and of name servers, of calls that `strace` traced."""
    found = []
    for line in trace.splitlines():
        match = _TRACED.search(line)
        if match and (match["port"] == "53" or not is_this_machine(match["host"])):
            found.append(line)
    return found
