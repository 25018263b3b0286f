"""Which addresses are dialed: those that the policy allows, and no other, whatever the resolver answers."""

import asyncio
import itertools
import socket
from collections.abc import Callable
from typing import Any

import pytest

from chassis.targets import Policy, Target, parse_target
from tests.support.webhook_receivers import LOOPBACK, found, healthy, receiving, recorded_connects, sending
from webhooks.sending.outcome import Failure, FailureKind, Response
from webhooks.sending.pool import Limits
from webhooks.sending.resolving import MOST_ADDRESSES, Resolver

NAMED = "hooks.example.com"


def named(port: int) -> tuple[Target, Policy]:
    """Return a target with a host name at this port, and a policy that allows 127.0.0.1 and no other address of it."""
    parser = Policy.of([NAMED])
    return parse_target(f"http://{NAMED}:{port}/", parser), LOOPBACK


def answers(*addresses: str) -> Callable[..., Any]:
    """Return a look-up that always answers with these addresses."""
    return lambda host, port, **options: found(*addresses)


async def test_flipping_between_two_deliveries() -> None:
    """A whole request resolves its host once; the next one over a new connection resolves it again."""
    turns = itertools.cycle((("127.0.0.1",), ("127.0.0.2",)))
    async with receiving(healthy) as allowed, receiving(healthy, host="127.0.0.2", port=allowed.port) as denied:
        target, policy = named(allowed.port)
        resolver = Resolver(lambda *arguments, **options: found(*next(turns)))
        async with sending(policy, resolver=resolver, limits=Limits(idle=0)) as sender:
            outcomes = [await sender.send(target, {}, b"{}") for _ in range(20)]
        assert (allowed.accepted, denied.accepted) == (10, 0)
    assert [isinstance(outcome, Response) for outcome in outcomes] == [True, False] * 10


DENIED_ANSWERS = [
    "0.0.0.0",
    "10.0.0.1",
    "100.100.100.200",
    "127.0.0.2",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2001::1",
    "2002:7f00:1::",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", DENIED_ANSWERS)
async def test_a_name_that_leads_to_a_denied_address_is_not_dialed(address: str) -> None:
    """No socket is connected, and the tenant does not learn the address."""
    target, policy = named(443)
    with recorded_connects() as connects:
        async with sending(policy, resolver=Resolver(answers(address))) as sender:
            outcome = await sender.send(target, {}, b"{}")
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.DENIED
    assert outcome.sentence.startswith(f"{NAMED} has no address that webhooks may reach: its address belongs to ")
    assert address not in outcome.sentence
    assert connects == []


async def test_this_machine_by_name_is_not_dialed() -> None:
    """The operating system's own name of this machine leads nowhere."""
    with recorded_connects() as connects:
        async with sending(Policy()) as sender:
            outcome = await sender.send(parse_target("https://localhost/", Policy()), {}, b"{}")
    assert isinstance(outcome, Failure)
    assert (outcome.kind, connects) == (FailureKind.DENIED, [])


async def test_an_address_is_judged_again_when_it_is_dialed() -> None:
    """A URL that was accepted under a wider policy is refused by the current one."""
    async with receiving(healthy) as receiver, sending(Policy()) as sender:
        with recorded_connects() as connects:
            outcome = await sender.send(receiver.target(), {}, b"{}")
        assert isinstance(outcome, Failure)
        assert (outcome.kind, connects, receiver.accepted) == (FailureKind.DENIED, [], 0)


async def test_the_next_address_is_dialed_if_the_first_refuses() -> None:
    """The addresses are tried in the resolver's order; only those that are allowed."""
    policy = Policy.of(["127.0.0.0/29"])
    async with receiving(healthy, host="127.0.0.5") as receiver:
        target, _ = named(receiver.port)
        resolver = Resolver(answers("127.0.0.9", "127.0.0.3", "::1", "127.0.0.4", "127.0.0.5"))
        with recorded_connects() as connects:
            async with sending(policy, resolver=resolver) as sender:
                outcome = await sender.send(target, {}, b"{}")
        assert isinstance(outcome, Response)
        assert [address for address, _ in connects] == ["127.0.0.3", "127.0.0.4", "127.0.0.5"]
    assert outcome.timings.dns is not None


async def test_few_addresses_of_a_name_are_dialed() -> None:
    """A name that leads to thousands of hosts of others has only the first ones dialed."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target, _ = named(closed.getsockname()[1])
        resolver = Resolver(answers(*(f"127.0.{high}.{low}" for high in range(1, 17) for low in range(1, 251))))
        with recorded_connects() as connects:
            async with sending(Policy.of(["127.0.0.0/8"]), resolver=resolver) as sender:
                outcome = await sender.send(target, {}, b"{}")
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.CONNECT
    assert [address for address, _ in connects] == [f"127.0.1.{low}" for low in range(1, MOST_ADDRESSES + 1)]


async def test_a_closed_port_is_a_failure_to_connect() -> None:
    """The sentence has the operating system's reason, and no address of the name."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target, policy = named(closed.getsockname()[1])
        async with sending(policy, resolver=Resolver(answers("127.0.0.1"))) as sender:
            outcome = await sender.send(target, {}, b"{}")
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.CONNECT
    assert outcome.sentence == f"No connection to {NAMED}, port {target.port}: Connection refused."


async def test_a_host_that_never_accepts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address has its share of the time, so that the next one has its turn."""
    monkeypatch.setattr("webhooks.sending.sockets.CONNECT_SECONDS", 0.2)
    policy = Policy.of(["127.0.0.0/29"])
    with socket.socket() as full:
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.2", port))
        async with sending(policy, resolver=Resolver(answers("127.0.0.2"))) as sender:
            outcome = await sender.send(named(port)[0], {}, b"{}")
        async with receiving(healthy, port=port) as receiver:
            async with sending(policy, resolver=Resolver(answers("127.0.0.2", "127.0.0.1"))) as sender:
                second = await sender.send(named(port)[0], {}, b"{}")
            assert receiver.accepted == 1
        for filler in fillers:
            filler.close()
    assert isinstance(outcome, Failure)
    assert (outcome.kind, "no answer within" in outcome.sentence) == (FailureKind.CONNECT, True)
    assert isinstance(second, Response)


async def test_concurrent_sends_of_one_host_resolve_it_once() -> None:
    """A look-up that runs is shared."""
    calls = 0

    def count(host: bytes, port: None, **options: Any) -> list[Any]:
        nonlocal calls
        calls += 1
        return found("127.0.0.1")

    async with receiving(healthy) as receiver:
        target, policy = named(receiver.port)
        async with sending(policy, resolver=Resolver(count)) as sender:
            outcomes = await asyncio.gather(*(sender.send(target, {}, b"{}") for _ in range(20)))
    assert all(isinstance(outcome, Response) for outcome in outcomes)
    assert calls == 1
