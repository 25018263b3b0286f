"""Start and stop single programs of a stack through its supervisord.

This module relies on supervisord's configuration file and XML-RPC interface alone, so that it works with the stack of
any checkout.
"""

import xmlrpc.client
from configparser import ConfigParser
from pathlib import Path
from typing import Any


class Supervisor:
    """The supervisord of the stack in a folder."""

    def __init__(self, home: Path) -> None:
        self._url = rpc_url((home / "supervisord.conf").read_text())

    def pids(self) -> dict[str, int]:
        """Return the pids of the running programs by name."""
        return {program["name"]: program["pid"] for program in self._call("getAllProcessInfo") if program["pid"]}

    def own_pid(self) -> int:
        """Return supervisord's pid."""
        return int(self._call("getPID"))

    def start(self, name: str) -> None:
        """Start a program unless it runs, without waiting until it is ready."""
        if name not in self.pids():
            self._call("startProcess", name)

    def stop(self, name: str) -> None:
        """Stop a program and wait until its process has ended."""
        if name in self.pids():
            self._call("stopProcess", name)

    def _call(self, method: str, *arguments: Any) -> Any:
        with xmlrpc.client.ServerProxy(self._url) as proxy:
            return getattr(proxy, f"supervisor.{method}")(*arguments)


def rpc_url(configuration: str) -> str:
    """Return the URL of the XML-RPC interface in a configuration, with its password."""
    parser = ConfigParser(interpolation=None)
    parser.read_string(configuration)
    server = parser["inet_http_server"]
    return f"http://{server['username']}:{server['password']}@{server['port']}/RPC2"
