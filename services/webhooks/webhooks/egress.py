"""The egress proxy of webhooks, as the operator configures it: never from the environment that other clients read."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from chassis.settings import SettingsError

_URL = re.compile(
    r"http://((?P<user>[^:@/?#\s]+)(:(?P<password>[^:@/?#\s]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[1-9][0-9]{0,4})/?"
)


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that opens connections by CONNECT."""

    host: str
    """A name, or an address without brackets."""
    port: int
    authorization: str | None = field(default=None, repr=False)
    """The value of the header Proxy-Authorization."""

    @property
    def address(self) -> str:
        """Host and port, for operators."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def choose_proxy(url: str | None, *, checks_addresses: bool) -> Proxy | None:
    """Return the proxy, if there is one. Raises SettingsError, which never quotes the URL."""
    if url is None:
        if checks_addresses:
            raise SettingsError(
                "DARKROOM_WEBHOOKS_EGRESS_PROXY_CHECKS_ADDRESSES: is set without DARKROOM_WEBHOOKS_EGRESS_PROXY. Set"
                " the proxy's URL, or remove this setting."
            )
        return None
    proxy = _parse(url)
    if not checks_addresses:
        raise SettingsError(
            "DARKROOM_WEBHOOKS_EGRESS_PROXY: behind a proxy the service can't check the addresses that names lead to."
            " Configure the proxy to refuse private, loopback, link-local and metadata addresses, then set"
            " DARKROOM_WEBHOOKS_EGRESS_PROXY_CHECKS_ADDRESSES=true; or remove the proxy."
        )
    return proxy


def _parse(url: str) -> Proxy:
    match = _URL.fullmatch(url)
    if match is None or int(match["port"]) > 65_535:
        raise SettingsError(
            "DARKROOM_WEBHOOKS_EGRESS_PROXY: must be http://host:port or http://user:password@host:port, with user and"
            " password percent-encoded."
        )
    return Proxy(match["host"].strip("[]"), int(match["port"]), _authorization(match["user"], match["password"]))


def _authorization(user: str | None, password: str | None) -> str | None:
    """Return the credentials of the scheme Basic (RFC 7617)."""
    if user is None:
        return None
    return f"Basic {b64encode(unquote_to_bytes(user) + b':' + unquote_to_bytes(password or '')).decode()}"
