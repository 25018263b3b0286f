"""Sending through the operator's proxy: it resolves and connects, and nothing that it does is shown to tenants."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import structlog.testing
import trustme
import uvloop

from chassis.targets import Policy, Target, parse_target
from tests.support.certificates import serving, trusting
from tests.support.webhook_proxies import (
    AUTHORIZATION,
    CREDENTIALS,
    ESTABLISHED,
    ConnectProxy,
    answering_connect,
    proxying,
)
from tests.support.webhook_receivers import (
    Behaviour,
    endless,
    found,
    healthy,
    read_head,
    receiving,
    recorded_connects,
    resetting,
    sending,
    silent,
)
from webhooks.egress import Proxy, choose_proxy
from webhooks.sending.outcome import Failure, FailureKind, Outcome, Response
from webhooks.sending.resolving import Resolver
from webhooks.sending.sender import Sender

HOST = "hooks.example.com"
POLICY = Policy.of([HOST])
KNOWN = {HOST: "127.0.0.1"}


def target_of(port: int, scheme: str = "http") -> Target:
    return parse_target(f"{scheme}://{HOST}:{port}/", POLICY)


def unasked(host: bytes, port: None, **options: Any) -> Any:
    """Stand for the operating system's resolver, which is not to be used."""
    raise AssertionError(host)


async def send(behaviour: Behaviour, *, seconds: float = 10, credentials: str = CREDENTIALS) -> Outcome:
    """Return the outcome of one request through a proxy that behaves so, with nothing of the proxy in it."""
    async with (
        proxying(behaviour, credentials=credentials) as proxy,
        sending(POLICY, proxy=proxy, resolver=Resolver(unasked), seconds=seconds) as sender,
    ):
        outcome = await sender.send(target_of(80), {}, b"{}")
    _assert_hidden(proxy, outcome)
    return outcome


def _assert_hidden(proxy: Proxy, outcome: Outcome) -> None:
    for secret in (proxy.host, str(proxy.port), "darkroom", "pa55", AUTHORIZATION):
        assert secret not in repr(outcome)


async def test_the_proxy_resolves_and_the_connection_is_kept() -> None:
    """Plain http is sent by CONNECT too; the name goes to the proxy, and the tunnel serves further requests."""
    behaviour = ConnectProxy(KNOWN)
    async with receiving(healthy) as receiver, proxying(behaviour) as proxy:
        with recorded_connects() as connects:
            async with sending(POLICY, proxy=proxy, resolver=Resolver(unasked)) as sender:
                outcomes = [await sender.send(target_of(receiver.port), {}, b"{}") for _ in range(3)]
        assert receiver.accepted == 1
        by_proxy = ("127.0.0.1", receiver.port)
        assert connects == [("127.0.0.1", proxy.port), by_proxy]
    assert all(isinstance(outcome, Response) for outcome in outcomes)
    assert (outcomes[0].timings.dns, outcomes[0].timings.connect is None) == (None, False)
    authority = f"{HOST}:{receiver.port}"
    head = f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: Darkroom\r\n\r\n"
    assert behaviour.heads == [head.encode()]


async def _send_secure(authority: trustme.CA, name: str) -> Outcome:
    async with (
        receiving(healthy, secure=serving(authority.issue_cert(name))) as receiver,
        proxying(ConnectProxy(KNOWN)) as proxy,
        Sender(POLICY, proxy=proxy, resolver=Resolver(unasked), ssl_context=trusting(authority)) as sender,
    ):
        await sender.send(target_of(receiver.port, "https"), {}, b"{}")
        return await sender.send(target_of(receiver.port, "https"), {}, b"{}")


async def _assert_tls_is_the_receivers() -> None:
    authority = trustme.CA()
    outcome = await _send_secure(authority, HOST)
    assert isinstance(outcome, Response)
    refused = await _send_secure(authority, "other.example.com")
    assert isinstance(refused, Failure)
    assert refused.sentence.startswith(f"The TLS certificate of {HOST} is not valid: Hostname mismatch")


async def test_tls_is_spoken_with_the_receiver() -> None:
    """The certificate is the receiver's, and is verified for its name."""
    await _assert_tls_is_the_receivers()


def test_tls_is_spoken_with_the_receiver_on_uvloop() -> None:
    """Services run on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_assert_tls_is_the_receivers())


async def test_credentials_are_sent_to_the_proxy_alone() -> None:
    """The proxy asks for them; the receiver never sees them."""
    received = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await read_head(reader))
        writer.write(b"HTTP/1.1 204 None\r\n\r\n")

    behaviour = ConnectProxy(KNOWN, authorization=AUTHORIZATION)
    async with (
        receiving(behave) as receiver,
        proxying(behaviour, credentials=CREDENTIALS) as proxy,
        sending(POLICY, proxy=proxy, resolver=Resolver(unasked)) as sender,
    ):
        assert isinstance(await sender.send(target_of(receiver.port), {}, b"{}"), Response)
    assert len(received) == 1
    assert b"uthorization" not in received[0]


async def test_wrong_credentials_are_the_operators_to_mend() -> None:
    """The receiver is not to blame; the log says what is wrong, once, without the credentials."""
    with structlog.testing.capture_logs() as logs:
        async with (
            proxying(ConnectProxy(KNOWN, authorization=AUTHORIZATION), credentials="a:b55@") as proxy,
            sending(POLICY, proxy=proxy) as sender,
        ):
            outcomes = [await sender.send(target_of(80), {}, b"{}") for _ in range(3)]
    for outcome in outcomes:
        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.PROXY
        assert outcome.sentence == "The operator's proxy refuses the service's credentials; nothing was sent."
    assert [line["log_level"] for line in logs] == ["error"]
    assert logs[0]["proxy"] == proxy.address
    assert "b55" not in repr(logs)
    assert proxy.authorization is not None
    assert proxy.authorization not in repr(logs)


ADDRESSES = ["127.0.0.2", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:7f00:1]", "[64:ff9b::1]", "[fd00::1]"]


@pytest.mark.parametrize("literal", ADDRESSES)
async def test_addresses_in_urls_are_judged_here(literal: str) -> None:
    """An address that is not public is refused before the proxy is asked."""
    wide = Policy.of([literal.strip("[]")])
    async with proxying(silent) as proxy, sending(Policy(), proxy=proxy) as sender:
        with recorded_connects() as connects:
            outcome = await sender.send(parse_target(f"https://{literal}/", wide), {}, b"{}")
    assert isinstance(outcome, Failure)
    assert (outcome.kind, connects) == (FailureKind.DENIED, [])


async def test_an_ipv6_address_is_asked_for_in_brackets() -> None:
    """The authority of CONNECT has the form of RFC 3986."""
    behaviour = ConnectProxy({})
    async with proxying(behaviour) as proxy, sending(Policy(), proxy=proxy) as sender:
        await sender.send(parse_target("https://[2606:4700::1111]/", Policy()), {}, b"{}")
    assert behaviour.heads[0].startswith(b"CONNECT [2606:4700::1111]:443 HTTP/1.1\r\nhost: [2606:4700::1111]:443\r\n")


def _status(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nretry-after: 5\r\ncontent-length: 4\r\n\r\n127.".encode()


REFUSALS = {
    "403 Forbidden": (FailureKind.DENIED, "does not allow connections to"),
    "407 Authenticate": (FailureKind.PROXY, "refuses the service's credentials"),
    "500 Error": (FailureKind.CONNECT, "answered 500"),
    "502 Bad": (FailureKind.CONNECT, "answered 502"),
    "503 Away": (FailureKind.CONNECT, "answered 503"),
    "504 Timeout": (FailureKind.CONNECT, "answered 504"),
    "404 Unknown": (FailureKind.CONNECT, "answered 404"),
    "405 Method": (FailureKind.CONNECT, "answered 405"),
    "302 Found": (FailureKind.CONNECT, "answered 302"),
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_refusal_is_said_in_words(status: str) -> None:
    """The sentence has what the proxy's status means, and nothing else of its answer."""
    kind, words = REFUSALS[status]
    outcome = await send(answering_connect(_status(status)))
    assert isinstance(outcome, Failure)
    assert outcome.kind is kind
    assert words in outcome.sentence
    assert (HOST in outcome.sentence) == (kind is not FailureKind.PROXY)
    assert outcome.timings.connect is None


MISBEHAVIOUR: dict[str, Behaviour] = {
    "closes at once": answering_connect(),
    "closes within its answer": answering_connect(b"HTTP/1.1 200 O"),
    "resets": resetting(b""),
    "speaks SSH": answering_connect(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "speaks SOCKS": answering_connect(b"\x05\x00\r\n\r\n"),
    "speaks TLS": answering_connect(b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n"),
    "floods headers": endless(b"HTTP/1.1 200 OK\r\n", b"a: bbbbbbbbbbbbbbbb\r\n" * 50),
    "floods the status line": endless(b"HTTP/1.1 200 ", b"b" * 4096),
    "switches protocols": answering_connect(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    "sends bytes ahead": answering_connect(ESTABLISHED + b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("case", MISBEHAVIOUR)
async def test_a_proxy_that_misbehaves_opens_no_connection(case: str) -> None:
    """Whatever it sends is a failure to connect, in time, that quotes nothing of it."""
    outcome = await send(_without_body(MISBEHAVIOUR[case]))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.CONNECT
    assert outcome.sentence.startswith(f"The operator's proxy opened no connection to {HOST}, port 80: it ")
    assert outcome.timings.total < 5


def _without_body(behaviour: Behaviour) -> Behaviour:
    """Let a receiver's behaviour, which reads a whole POST, take a CONNECT."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        whole = asyncio.StreamReader()
        whole.feed_data(head[:-2] + b"content-length: 0\r\n\r\n")
        await behaviour(whole, writer)

    return behave


@pytest.mark.parametrize(
    "behaviour",
    [silent, _without_body(endless(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", 0.02)),
     _without_body(endless(b"", b"HTTP/1.1 103 Early\r\n\r\n", 0.001))],
    ids=["never answers", "drips its answer", "informs for all time"],
)  # fmt: skip
async def test_a_proxy_that_hangs_is_given_up(behaviour: Behaviour) -> None:
    """The time of the attempt bounds it, and the sentence says what went on."""
    outcome = await send(behaviour, seconds=0.3)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, "the operator's proxy was opening" in outcome.sentence) == (FailureKind.TIMEOUT, True)
    assert 0.3 <= outcome.timings.total < 3


async def test_a_tunnel_that_is_given_up_is_closed() -> None:
    """The proxy sees the end of the connection."""
    closed = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()

    async with proxying(behave) as proxy, sending(POLICY, proxy=proxy, seconds=0.2) as sender:
        assert isinstance(await sender.send(target_of(80), {}, b"{}"), Failure)
        await asyncio.wait_for(closed.wait(), 5)


def _fails(host: bytes, port: None, **options: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def _leads_here(host: bytes, port: None, **options: Any) -> Any:
    assert host == b"proxy.internal"
    return found("127.0.0.1")


@pytest.mark.parametrize("look_up", [_fails, _leads_here], ids=["unknown name", "closed port"])
async def test_a_proxy_that_is_away_is_the_operators_to_mend(look_up: Callable[..., Any]) -> None:
    """The receiver is not to blame; the log says what is wrong, the tenant learns no name."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = choose_proxy(f"http://proxy.internal:{closed.getsockname()[1]}", checks_addresses=True)
        with structlog.testing.capture_logs() as logs:
            async with sending(POLICY, proxy=proxy, resolver=Resolver(look_up)) as sender:
                outcome = await sender.send(target_of(80), {}, b"{}")
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.PROXY
    assert outcome.sentence == "The operator's proxy can't be reached; nothing was sent."
    assert len(logs) == 1
    assert logs[0]["reason"]


async def test_the_name_of_the_proxy_is_resolved() -> None:
    """The proxy may have a name, and an address that receivers must not have."""
    async with receiving(healthy) as receiver, proxying(ConnectProxy(KNOWN)) as running:
        proxy = choose_proxy(f"http://proxy.internal:{running.port}", checks_addresses=True)
        async with sending(POLICY, proxy=proxy, resolver=Resolver(_leads_here)) as sender:
            assert isinstance(await sender.send(target_of(receiver.port), {}, b"{}"), Response)


async def test_the_proxy_refuses_names_that_lead_inside() -> None:
    """A name that the proxy does not let through is an address that webhooks must not reach."""
    async with proxying(ConnectProxy({})) as proxy, sending(POLICY, proxy=proxy) as sender:
        outcome = await sender.send(target_of(443), {}, b"{}")
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.DENIED
