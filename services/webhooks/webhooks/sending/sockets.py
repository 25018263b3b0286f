"""Connecting a socket to one of several addresses, in their order."""

import asyncio
import os
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address

from chassis.denied_networks import Address

CONNECT_SECONDS = 5.0
"""Bounds each address, so that others of the host have their turn."""
RECEIVE_BUFFER = 32 * 1024
"""Bytes that the kernel holds for a connection: what a receiver may send before anybody reads it."""


class ConnectError(Exception):
    """No address accepts a connection; the text is the last one's reason, without the address."""


async def connect(addresses: Sequence[Address], port: int) -> socket.socket:
    """Return a socket that is connected to the first address that accepts. Raises ConnectError."""
    why = ""
    for address in addresses:
        try:
            return await _connect(address, port)
        except TimeoutError:
            why = f"no answer within {CONNECT_SECONDS:.0f} s"
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else "the connection failed"
    raise ConnectError(why)


async def _connect(address: Address, port: int) -> socket.socket:
    """Connect a socket to exactly this address. Raises OSError, TimeoutError among them."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock
