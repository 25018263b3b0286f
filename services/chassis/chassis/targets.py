"""The target of a webhook: its URL, parsed once, and the policy that says which hosts it may name.

Everything that a later parser might read differently is refused instead of interpreted: odd spellings of addresses,
user info, backslashes, trailing dots. An address in the URL is judged here, the addresses of a name when it is dialed.
"""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal, NoReturn, Self

import msgspec

from chassis.denied_networks import Address, Network, find_denial
from chassis.host_names import HostNameError, to_ascii

DEFAULT_PORTS = {"https": 443, "http": 80}
MAX_URL_LENGTH = 2048
_WIDEST_ALLOWED = {4: 8, 6: 7}
"""The shortest prefix that may be allowed: the widest private networks, 10.0.0.0/8 and fc00::/7."""

_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?P<port>:[^:\[\]]*)?")
_PORT = re.compile(r":([1-9][0-9]{0,4})")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_NUMBER = re.compile(r"\d+|0[xX][0-9a-fA-F]*|0[bB][01]*")
"""The last label of a host that some resolvers read as an IPv4 address (URL Standard, "ends in a number"; binary
numbers: C23), with digits of any script. No top-level domain is one."""


class TargetRefusedError(Exception):
    """The URL is not one that a webhook may have; the text continues a sentence that begins with the URL's name."""


class Target(msgspec.Struct, frozen=True):
    """A webhook's URL. Only `parse_target` makes one."""

    scheme: Literal["http", "https"]
    host: str
    """In ASCII and lower case: a name, or an address without brackets."""
    port: int
    path: str
    """With the query; begins with a slash."""

    @property
    def address(self) -> Address | None:
        """The address that the URL names, or None if it names a host."""
        return _literal(self.host)

    @property
    def origin(self) -> str:
        """Scheme, host and port, always with the port."""
        return f"{self.scheme}://{self.host_and_port}"

    @property
    def host_and_port(self) -> str:
        """What CONNECT asks a proxy for, always with the port."""
        return f"{self._bracketed}:{self.port}"

    @property
    def authority(self) -> str:
        """The value of the header Host."""
        return self._bracketed if self.port == DEFAULT_PORTS[self.scheme] else self.host_and_port

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


class Policy(msgspec.Struct, frozen=True):
    """The hosts that webhooks may name, and the addresses that they may reach.

    A public address is reached over https at one of `ports`. A host in `names`, or an address in `networks`, is
    reached over http too, at any port, and although its address is in the table of denied networks or in `denied`.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset((443,))
    denied: tuple[Network, ...] = ()
    """Networks of the operator's that are not public, although the table does not have them."""

    @classmethod
    def of(cls, hosts: Iterable[str], ports: Iterable[int] = (443,), denied: Iterable[str] = ()) -> Self:
        """Return the policy that allows these exact names, addresses and CIDRs, and denies those.

        Raises ValueError with the position of an allowed entry that is neither, or of a network wider than private
        ones are; see `parse_networks` for the denied ones.
        """
        names: set[str] = set()
        networks: list[Network] = []
        for position, entry in enumerate(hosts, 1):
            allowed = _parse_allowed(entry, position)
            if isinstance(allowed, str):
                names.add(allowed)
            else:
                networks.append(allowed)
        return cls(frozenset(names), tuple(networks), frozenset(ports), parse_networks(denied))

    def allows(self, host: str, address: Address | None) -> bool:
        """Return whether the host or the address is among those that are named."""
        return host in self.names or (address is not None and any(address in network for network in self.networks))

    def refusal(self, host: str, address: Address) -> str | None:
        """Return what the address belongs to if the host must not be reached there: "the loopback (RFC 1122)"."""
        if self.allows(host, address):
            return None
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return "a link-local network (RFC 4007)"
        if any(address in network for network in self.denied):
            return "a network that the operator denies"
        denied = find_denial(address)
        return None if denied is None else f"{denied.what} ({denied.source})"


def parse_networks(entries: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks that these addresses and CIDRs are. Raises ValueError with the position of another entry."""
    return tuple(_parse_network(entry, position) for position, entry in enumerate(entries, 1))


def parse_target(url: str, policy: Policy) -> Target:
    """Return the target that a URL names. Raises TargetRefusedError."""
    target = _parse(url)
    allowed = policy.allows(target.host, target.address)
    if target.scheme == "http" and not allowed:
        _refuse("must begin with https://; plain http is only for hosts that the operator allows")
    if target.port not in policy.ports and not allowed:
        _refuse(f"must not name port {target.port}; allowed: {', '.join(map(str, sorted(policy.ports)))}")
    if target.address is not None and (what := policy.refusal(target.host, target.address)):
        _refuse(f"must not name an address of {what}")
    return target


def _parse(url: str) -> Target:
    if len(url) > MAX_URL_LENGTH:
        _refuse(f"must not be longer than {MAX_URL_LENGTH} characters")
    if _UNPRINTABLE.search(url):
        _refuse("must not hold spaces, line breaks or control characters; percent-encode them")
    if "\\" in url:
        _refuse("must not hold a backslash; percent-encode it as %5C")
    match = _URL.fullmatch(url)
    if match is None:
        _refuse("must begin with https:// (or http://, where the operator allows the host)")
    host, port = _parse_authority(match["authority"])
    scheme: Literal["http", "https"] = "https" if match["scheme"] == "https" else "http"
    return Target(scheme, host, port or DEFAULT_PORTS[scheme], _parse_path(match["rest"]))


def _parse_authority(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        _refuse("must not hold a user or a password")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        _refuse("must have one host, with an IPv6 address in brackets, and at most one port")
    return _parse_host(match["host"]), _parse_port(match["port"])


def _parse_port(port: str | None) -> int | None:
    if port is None:
        return None
    match = _PORT.fullmatch(port)
    if match is None or int(match[1]) > 65_535:
        _refuse("must have a port from 1 to 65535, in plain digits, or none")
    return int(match[1])


def _parse_host(host: str) -> str:
    if host.startswith("["):
        return _parse_ipv6(host[1:-1])
    try:
        name = to_ascii(host)
    except HostNameError as error:
        _refuse(str(error))
    return _parse_ipv4(name) if _NUMBER.fullmatch(host.rpartition(".")[2]) else name


def _parse_ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        _refuse("must write an IPv4 address as four decimal numbers without leading zeros")


def _parse_ipv6(text: str) -> str:
    if "%" in text:
        _refuse("must not have an IPv6 address with a zone")
    if "." in text:
        _refuse("must not have an IPv6 address with an IPv4 address in it")
    try:
        return str(IPv6Address(text))
    except AddressValueError:
        _refuse("must have an IPv6 address, and nothing else, in the brackets")


def _parse_path(rest: str) -> str:
    if "#" in rest:
        _refuse("must not have a fragment (#...), which is never sent")
    if not rest.isascii():
        _refuse("must have a path and a query in ASCII; percent-encode other characters")
    return rest if rest.startswith("/") else f"/{rest}"


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _parse_network(entry: str, position: int) -> Network:
    try:
        if "%" not in entry:
            return ip_network(entry)
    except ValueError:
        pass
    raise ValueError(f"entry {position} is neither an address nor a CIDR whose bits after the prefix are zero")


def _parse_allowed(entry: str, position: int) -> str | Network:
    try:
        network = ip_network(entry)
    except ValueError:
        return _parse_allowed_name(entry, position)
    if "%" in entry:
        raise ValueError(f"entry {position} is an address with a zone, which webhooks never reach")
    if network.prefixlen < _WIDEST_ALLOWED[network.version]:
        raise ValueError(f"entry {position} is wider than a private network is; name the hosts that are meant")
    return network


def _parse_allowed_name(entry: str, position: int) -> str:
    try:
        name, port = _parse_authority(entry)
    except TargetRefusedError as error:
        raise ValueError(f"entry {position} is neither a host name nor an address nor a CIDR") from error
    if port is not None:
        raise ValueError(f"entry {position} is a host with a port; leave the port out, all ports are allowed")
    return name


def _refuse(why: str) -> NoReturn:
    raise TargetRefusedError(why)
