"""Single probes of a server, without waiting."""

import base64
import http.client
import socket
from subprocess import DEVNULL, TimeoutExpired, run

from darkroom_local.ports import LOOPBACK

TIMEOUT_SECONDS = 2.0


def listens(port: int) -> bool:
    """Return whether a server accepts connections on the loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def http_status(port: int, path: str, credentials: tuple[str, str] | None = None) -> int | None:
    """Return the status of a GET of the path, or None without an HTTP response."""
    headers = {"Authorization": _basic(*credentials)} if credentials else {}
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def succeeds(*command: str) -> bool:
    """Return whether the command exits with 0 within 10 s."""
    try:
        return run(command, stdout=DEVNULL, stderr=DEVNULL, timeout=10, check=False).returncode == 0
    except TimeoutExpired:
        return False


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
