"""The table of the addresses that webhooks never reach."""

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.denied_networks import Address, Network, find_denial

MUST_BE_DENIED = {
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "site-local": ("fec0::/10",),
    "unspecified": ("0.0.0.0/8", "::/128"),
    "carrier-grade NAT": ("100.64.0.0/10",),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "reserved": ("240.0.0.0/4", "192.0.0.0/24", "255.255.255.255/32", "4000::/3", "8000::/3", "e000::/4"),
    "benchmarking": ("198.18.0.0/15", "2001:2::/48"),
    "documentation": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    "metadata": (
        "169.254.169.254/32",
        "fd00:ec2::254/128",
        "fd00:ec2::23/128",
        "fd20:ce::254/128",
        "100.100.100.200/32",
        "192.0.0.192/32",
    ),
    "internal services of clouds at public addresses": (
        *("168.63.129.16/32", "161.26.0.0/16", "166.8.0.0/14", "199.36.153.4/30", "199.36.153.8/30"),
        *("2600:2d00:2:1000::/56", "2600:2d00:2:2000::/56"),
    ),
    "mapped": ("::ffff:0:0/96",),
    "compatible": ("::/96",),
    "translated": ("::ffff:0:0:0/96",),
    "NAT64": ("64:ff9b::/96", "64:ff9b:1::/48"),
    "6to4": ("2002::/16", "192.88.99.0/24"),
    "Teredo": ("2001::/32",),
    "SRv6": ("5f00::/16",),
}
PUBLIC = (
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *(
        "128.0.0.0",
        "161.25.255.255",
        "161.27.0.0",
        "166.7.255.255",
        "166.12.0.0",
        "168.63.129.15",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.167.255.255",
        "198.17.0.1",
        "199.36.153.3",
        "199.36.153.12",
    ),
    *("2600:2d00:2:fff::1", "2600:2d00:2:1100::1", "2600:2d00:2:2100::1"),
    *("198.20.0.0", "223.255.255.255", "2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "2003::1"),
)


def _ends(network: Network) -> Iterator[Address]:
    yield network.network_address
    yield network.broadcast_address
    yield network[network.num_addresses // 2]


@pytest.mark.parametrize("kind", MUST_BE_DENIED)
def test_networks_are_denied_to_their_ends(kind: str) -> None:
    """The first, the middle and the last address of each network are denied, with what they are and the source."""
    for network in map(ip_network, MUST_BE_DENIED[kind]):
        for address in _ends(network):
            denied = find_denial(address)
            assert denied is not None, address
            assert address in denied.network
            assert denied.what
            assert denied.source


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_not_denied(text: str) -> None:
    """The neighbours of denied networks are public."""
    assert find_denial(ip_address(text)) is None


@given(st.ip_addresses(v=4))
def test_whatever_python_takes_for_private_is_denied(address: IPv4Address) -> None:
    """The table denies everything that the standard library does not call global."""
    assert address.is_global or find_denial(address) is not None


@given(st.ip_addresses(v=6))
def test_ipv6_outside_the_unicast_space_is_denied(address: IPv6Address) -> None:
    """Only 2000::/3 is given out for unicast."""
    assert address in ipaddress.IPv6Network("2000::/3") or find_denial(address) is not None


EMBEDDINGS = {
    "mapped": (IPv6Address("::ffff:0:0"), 0),
    "compatible": (IPv6Address("::"), 0),
    "translated": (IPv6Address("::ffff:0:0:0"), 0),
    "NAT64": (IPv6Address("64:ff9b::"), 0),
    "local NAT64": (IPv6Address("64:ff9b:1::"), 0),
    "6to4": (IPv6Address("2002::"), 80),
    "Teredo": (IPv6Address("2001::"), 0),
}


@pytest.mark.parametrize("kind", EMBEDDINGS)
@given(embedded=st.ip_addresses(v=4))
def test_an_embedded_ipv4_address_is_denied(kind: str, embedded: IPv4Address) -> None:
    """No IPv4 address is reached through IPv6, a public one neither."""
    prefix, shift = EMBEDDINGS[kind]
    assert find_denial(IPv6Address(int(prefix) | int(embedded) << shift)) is not None
