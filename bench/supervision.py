"""Starting and stopping single programs of a stack, through the supervisor that its folder names.

Only what supervisord itself defines is used, its configuration file and its XML-RPC interface, so that any checkout's
stack can be driven.
"""

import xmlrpc.client
from configparser import ConfigParser
from pathlib import Path
from typing import Any


class Supervisor:
    def __init__(self, home: Path) -> None:
        self._url = rpc_url((home / "supervisord.conf").read_text())

    def pids(self) -> dict[str, int]:
        """The running programs by name."""
        return {program["name"]: program["pid"] for program in self._call("getAllProcessInfo") if program["pid"]}

    def own_pid(self) -> int:
        return int(self._call("getPID"))

    def start(self, name: str) -> None:
        """Start a program unless it runs. It may take longer to be ready."""
        if name not in self.pids():
            self._call("startProcess", name)

    def stop(self, name: str) -> None:
        """Stop a program and wait until it is gone."""
        if name in self.pids():
            self._call("stopProcess", name)

    def _call(self, method: str, *arguments: Any) -> Any:
        with xmlrpc.client.ServerProxy(self._url) as proxy:
            return getattr(proxy, f"supervisor.{method}")(*arguments)


def rpc_url(configuration: str) -> str:
    """Where the supervisor with this configuration answers, password included."""
    parser = ConfigParser(interpolation=None)
    parser.read_string(configuration)
    server = parser["inet_http_server"]
    return f"http://{server['username']}:{server['password']}@{server['port']}/RPC2"
