"""The addresses that webhooks never reach: a table of networks, each with what it is and where that is laid down.

`ipaddress.is_global` is not enough: it is true of NAT64, 6to4, IPv4-compatible and multicast addresses, and of clouds'
special addresses in public networks. The first line that holds an address describes it, so special addresses precede
the networks that contain them.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NamedTuple, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


class DeniedNetwork(NamedTuple):
    """A network, or a single address, that no webhook reaches."""

    network: Network
    what: str
    """Completes "an address of ..."."""
    source: str


def find_denial(address: Address) -> DeniedNetwork | None:
    """Return the first line of the table that holds the address, or None for a public address."""
    table = _IPV4 if isinstance(address, IPv4Address) else _IPV6
    return next((denied for denied in table if address in denied.network), None)


def _table(*lines: tuple[str, str, str]) -> tuple[DeniedNetwork, ...]:
    return tuple(DeniedNetwork(ip_network(network), what, source) for network, what, source in lines)


_IPV4 = _table(
    ("168.63.129.16/32", "a cloud's internal services", "Azure: the platform's virtual public address"),
    ("161.26.0.0/16", "a cloud's internal services", "IBM Cloud: infrastructure endpoints of a VPC"),
    ("166.8.0.0/14", "a cloud's internal services", "IBM Cloud: Cloud Service Endpoints"),
    ("199.36.153.4/30", "a cloud's internal services", "Google Cloud: restricted.googleapis.com in a VPC"),
    ("199.36.153.8/30", "a cloud's internal services", "Google Cloud: private.googleapis.com in a VPC"),
    (
        "169.254.169.254/32",
        "a cloud's metadata service",
        "AWS, Azure, Google Cloud, OCI, DigitalOcean: instance metadata",
    ),
    ("169.254.170.2/32", "a cloud's metadata service", "AWS: ECS task metadata"),
    ("169.254.170.23/32", "a cloud's metadata service", "AWS: EKS Pod Identity"),
    ("100.100.100.200/32", "a cloud's metadata service", "Alibaba Cloud: instance metadata"),
    ("192.0.0.192/32", "a cloud's metadata service", "Oracle Cloud Classic: instance metadata"),
    ("0.0.0.0/8", "this host and network", "RFC 791, RFC 1122"),
    ("10.0.0.0/8", "a private network", "RFC 1918"),
    ("100.64.0.0/10", "a carrier's shared network", "RFC 6598"),
    ("127.0.0.0/8", "the loopback", "RFC 1122"),
    ("169.254.0.0/16", "a link-local network", "RFC 3927"),
    ("172.16.0.0/12", "a private network", "RFC 1918"),
    ("192.0.0.0/24", "a protocol's special network", "RFC 6890"),
    ("192.0.2.0/24", "a documentation network", "RFC 5737"),
    ("192.31.196.0/24", "a DNS sinkhole (AS112)", "RFC 7535"),
    ("192.52.193.0/24", "a multicast tunnel (AMT)", "RFC 7450"),
    ("192.88.99.0/24", "a 6to4 relay", "RFC 3068, RFC 7526"),
    ("192.168.0.0/16", "a private network", "RFC 1918"),
    ("192.175.48.0/24", "a DNS sinkhole (AS112)", "RFC 7534"),
    ("198.18.0.0/15", "a benchmarking network", "RFC 2544"),
    ("198.51.100.0/24", "a documentation network", "RFC 5737"),
    ("203.0.113.0/24", "a documentation network", "RFC 5737"),
    ("224.0.0.0/4", "a multicast network", "RFC 5771"),
    ("255.255.255.255/32", "the limited broadcast", "RFC 919"),
    ("240.0.0.0/4", "a reserved network", "RFC 1112"),
)

# What follows the special networks below is all of IPv6 but 2000::/3, which IANA has set aside for unicast.
_IPV6 = _table(
    ("fd00:ec2::/32", "a cloud's metadata service", "AWS: instance metadata, EKS Pod Identity"),
    ("fd20:ce::254/128", "a cloud's metadata service", "Google Cloud: instance metadata"),
    ("fd00:c1::a9fe:a9fe/128", "a cloud's metadata service", "Oracle Cloud: instance metadata"),
    ("2600:2d00:2:1000::/56", "a cloud's internal services", "Google Cloud: restricted.googleapis.com in a VPC"),
    ("2600:2d00:2:2000::/56", "a cloud's internal services", "Google Cloud: private.googleapis.com in a VPC"),
    ("::/128", "this host", "RFC 4291"),
    ("::1/128", "the loopback", "RFC 4291"),
    ("::ffff:0:0/96", "IPv4 written as IPv6 (mapped)", "RFC 4291"),
    ("::ffff:0:0:0/96", "IPv4 written as IPv6 (translated)", "RFC 2765"),
    ("::/96", "IPv4 written as IPv6 (compatible)", "RFC 4291"),
    ("64:ff9b::/96", "IPv4 written as IPv6 (NAT64)", "RFC 6052"),
    ("64:ff9b:1::/48", "IPv4 written as IPv6 (local NAT64)", "RFC 8215"),
    ("100::/64", "a discard-only network", "RFC 6666"),
    ("100:0:0:1::/64", "a dummy prefix", "RFC 9780"),
    ("2001::/32", "IPv4 written as IPv6 (Teredo)", "RFC 4380"),
    ("2001:2::/48", "a benchmarking network", "RFC 5180"),
    ("2001:3::/32", "a multicast tunnel (AMT)", "RFC 7450"),
    ("2001:4:112::/48", "a DNS sinkhole (AS112)", "RFC 7535"),
    ("2001:10::/28", "host identifiers (ORCHID)", "RFC 4843"),
    ("2001:20::/28", "host identifiers (ORCHIDv2)", "RFC 7343"),
    ("2001:30::/28", "drone identifiers (DRIP)", "RFC 9374"),
    ("2001::/23", "a protocol's special network", "RFC 2928"),
    ("2001:db8::/32", "a documentation network", "RFC 3849"),
    ("2002::/16", "IPv4 written as IPv6 (6to4)", "RFC 3056"),
    ("2620:4f:8000::/48", "a DNS sinkhole (AS112)", "RFC 7534"),
    ("3ffe::/16", "the former 6bone", "RFC 3701"),
    ("3fff::/20", "a documentation network", "RFC 9637"),
    ("5f00::/16", "segment routing (SRv6)", "RFC 9602"),
    ("fc00::/7", "a private network", "RFC 4193"),
    ("fe80::/10", "a link-local network", "RFC 4291"),
    ("fec0::/10", "a site-local network", "RFC 3879"),
    ("ff00::/8", "a multicast network", "RFC 4291"),
    ("::/3", "a reserved network", "IANA: IPv6 Address Space, RFC 4291"),
    ("4000::/2", "a reserved network", "IANA: IPv6 Address Space, RFC 4291"),
    ("8000::/1", "a reserved network", "IANA: IPv6 Address Space, RFC 4291"),
)
