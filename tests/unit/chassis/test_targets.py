"""Webhook URLs: what is accepted, what is refused, and what a policy changes."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.targets import Policy, TargetRefusedError, parse_target
from tests.support.webhook_spellings import ACCEPTED, REFUSED_HOSTS, REFUSED_URLS

PUBLIC = Policy()
DEVELOPMENT = Policy.of(["127.0.0.1", "10.1.0.0/16", "receiver", "My_App", "fd00::/8"])


def refusal(url: str, policy: Policy = PUBLIC) -> str:
    """Return why the URL is refused."""
    with pytest.raises(TargetRefusedError) as refused:
        parse_target(url, policy)
    return str(refused.value)


def _refused() -> Iterator[tuple[str, str]]:
    for why, hosts in REFUSED_HOSTS.items():
        yield from ((f"https://{host}/hook", why) for host in hosts)
    for why, urls in REFUSED_URLS.items():
        yield from ((url, why) for url in urls)


REFUSED = list(_refused())


@pytest.mark.parametrize(("url", "why"), REFUSED, ids=[ascii(url)[:60] for url, _ in REFUSED])
def test_odd_spellings_are_refused(url: str, why: str) -> None:
    """Each spelling is refused with one sentence that says what is wrong."""
    assert why in refusal(url)


def test_the_table_is_long() -> None:
    """At least 200 different spellings are tried."""
    assert len({url for url, _ in REFUSED}) == len(REFUSED) >= 200


@pytest.mark.parametrize(("url", "expected"), ACCEPTED.items())
def test_plain_urls_are_accepted(url: str, expected: str) -> None:
    """The host comes out in ASCII and lower case, the path as it was."""
    target = parse_target(url, PUBLIC)
    assert target.origin + target.path == expected


def test_the_host_header_leaves_the_default_port_out() -> None:
    """The authority is what receivers expect in the header Host."""
    assert parse_target("https://example.com:443/", PUBLIC).authority == "example.com"
    assert parse_target("http://127.0.0.1:8080/", DEVELOPMENT).authority == "127.0.0.1:8080"
    assert parse_target("https://[2606:4700::1111]/", PUBLIC).authority == "[2606:4700::1111]"


@given(st.text(alphabet="0123456789abfxX.:[]%-_", max_size=20))
def test_the_operating_system_reads_no_address_in_a_name(host: str) -> None:
    """A host that is accepted as a name is not one that the C library takes for an address; an address is the same."""
    try:
        target = parse_target(f"https://{host}/", PUBLIC)
    except TargetRefusedError:
        return
    try:
        found = socket.getaddrinfo(target.host, None, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        assert target.address is None
    else:
        assert {ip_address(entry[4][0]) for entry in found} == {target.address}


@given(st.text(max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is a target or refused."""
    for url in (text, f"https://{text}", f"https://{text}.example/", f"https://[{text}]/"):
        try:
            target = parse_target(url, PUBLIC)
        except TargetRefusedError:
            continue
        assert (target.origin + target.path).isascii()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1:9000/hook",
        "https://127.0.0.1:8443",
        "http://10.1.255.255:1",
        "http://receiver:8000/",
        "https://RECEIVER/",
        "http://my_app:5000/",
        "http://[fd12::1]:9/",
    ],
)
def test_named_hosts_and_networks_are_allowed(url: str) -> None:
    """A host that the operator names is reached over http, at any port and at a private address."""
    assert parse_target(url, DEVELOPMENT)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2/",
        "https://10.2.0.0/",
        "https://10.0.255.255/",
        "http://receiver.example/",
        "http://a.receiver/",
        "https://[::ffff:7f00:1]/",
        "https://[::1]/",
        "http://localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://user@127.0.0.1/",
        "https://169.254.169.254/",
        "https://example.com:8443/",
    ],
)
def test_nothing_else_is_allowed_with_them(url: str) -> None:
    """The neighbours of what is allowed, and other spellings of it, stay refused."""
    assert refusal(url, DEVELOPMENT)


def test_the_addresses_of_names_are_judged_later() -> None:
    """An allowed name may lead anywhere, any other name to public or allowed addresses alone."""
    assert DEVELOPMENT.refusal("receiver", ip_address("172.17.0.1")) is None
    assert DEVELOPMENT.refusal("example.com", ip_address("127.0.0.1")) is None
    assert DEVELOPMENT.refusal("example.com", ip_address("172.17.0.1")) == "a private network (RFC 1918)"
    assert PUBLIC.refusal("localhost", ip_address("127.0.0.1")) == "the loopback (RFC 1122)"
    assert PUBLIC.refusal("example.com", ip_address("2606:4700::1111%3")) == "a link-local network (RFC 4007)"
    assert PUBLIC.refusal("example.com", ip_address("93.184.215.14")) is None


@pytest.mark.parametrize(
    "entry",
    ["0.0.0.0/0", "::/0", "0.0.0.0/1", "8.0.0.0/7", "2000::/3", "127.0.0.1/8", "*", "*.example.com", "http://a.example",
     "a b", "example.com:8080", "127.1", "0x7f.0.0.1", "example.com.", "::1%eth0/128", "[::1"],
)  # fmt: skip
def test_no_entry_allows_everything(entry: str) -> None:
    """A network is at most as wide as private ones; an entry is a name, an address or a CIDR, without patterns."""
    with pytest.raises(ValueError, match="entry 2 is") as refused:
        Policy.of(["127.0.0.1", entry])
    assert entry not in str(refused.value)


def test_ports_are_configured() -> None:
    """Public hosts are reached at the configured ports alone."""
    policy = Policy.of([], ports=(443, 8443))
    assert parse_target("https://example.com:8443/", policy).port == 8443
    assert refusal("https://example.com:444/", policy) == "must not name port 444; allowed: 443, 8443"


NAT64 = Policy.of(["receiver", "2a00:64::7f00:0/112"], denied=["2a00:64::/96", "93.184.216.0/24", "8.8.8.8"])


@pytest.mark.parametrize("address", ["2a00:64::", "2a00:64::a00:1", "2a00:64::ffff:ffff", "93.184.216.34", "8.8.8.8"])
def test_an_operator_denies_further_networks(address: str) -> None:
    """They are refused in URLs and at the dial, without the setting's name."""
    assert NAT64.refusal("example.com", ip_address(address)) == "a network that the operator denies"
    assert PUBLIC.refusal("example.com", ip_address(address)) is None
    literal = f"[{address}]" if ":" in address else address
    assert refusal(f"https://{literal}/", NAT64) == "must not name an address of a network that the operator denies"


@pytest.mark.parametrize("address", ["2a00:64:0:0:0:1::", "93.184.217.0", "8.8.8.9"])
def test_the_neighbours_of_denied_networks_are_reached(address: str) -> None:
    """What is denied ends where the operator says."""
    assert NAT64.refusal("example.com", ip_address(address)) is None


def test_what_is_allowed_precedes_what_is_denied() -> None:
    """As it precedes the table: a host by its name, or a part of a denied network."""
    assert NAT64.refusal("receiver", ip_address("2a00:64::a00:1")) is None
    assert NAT64.refusal("example.com", ip_address("2a00:64::7f00:1")) is None
    everything = Policy.of(["receiver"], denied=["0.0.0.0/0", "::/0"])
    assert everything.refusal("receiver", ip_address("1.1.1.1")) is None
    assert everything.refusal("example.com", ip_address("1.1.1.1")) is not None


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "example.com", "10.0.0.0/33", "0x7f.1", "*", "fe80::1%lo", "[::1]"])
def test_a_denied_network_is_an_address_or_a_cidr(entry: str) -> None:
    """Another entry is a mistake, since it would deny nothing."""
    with pytest.raises(ValueError, match="entry 2 is neither an address nor a CIDR") as refused:
        Policy.of([], denied=["10.0.0.0/8", entry])
    assert entry not in str(refused.value)
