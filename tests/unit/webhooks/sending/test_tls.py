"""Certificates: only a valid one for the host, from an authority that is trusted, leads to a request."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from chassis.targets import Policy, Target, parse_target
from tests.support.certificates import serving, trusting
from tests.support.webhook_receivers import OK, Receiver, answering, found, healthy, receiving, silent
from webhooks.sending.outcome import Failure, FailureKind, Outcome, Response
from webhooks.sending.resolving import Resolver
from webhooks.sending.sender import Sender

HOST = "hooks.example.com"
LONG_AGO = datetime.now(UTC) - timedelta(days=30)
POLICY = Policy.of(["127.0.0.1"])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def target_of(receiver: Receiver, host: str = HOST) -> Target:
    return parse_target(f"https://{host}:{receiver.port}/", Policy.of([host]))


async def send(receiver: Receiver, context: ssl.SSLContext, *, host: str = HOST, seconds: float = 5) -> Outcome:
    resolver = Resolver(lambda host, port, **options: found("127.0.0.1"))
    async with Sender(POLICY, resolver=resolver, ssl_context=context, seconds=seconds) as sender:
        await sender.send(target_of(receiver, host), {}, b"{}")
        return await sender.send(target_of(receiver, host), {}, b"{}")


async def test_a_valid_certificate_is_accepted(authority: trustme.CA) -> None:
    """The connection is kept like a plain one."""
    async with receiving(healthy, secure=serving(authority.issue_cert(HOST))) as receiver:
        assert isinstance(await send(receiver, trusting(authority)), Response)
        assert receiver.accepted == 1


def test_a_valid_certificate_is_accepted_on_uvloop(authority: trustme.CA) -> None:
    """Services run on uvloop."""

    async def run() -> None:
        async with receiving(healthy, secure=serving(authority.issue_cert(HOST))) as receiver:
            assert isinstance(await send(receiver, trusting(authority)), Response)
        async with receiving(healthy, secure=serving(authority.issue_cert("other.test"))) as receiver:
            outcome = await send(receiver, trusting(authority))
            assert isinstance(outcome, Failure)
            assert outcome.kind is FailureKind.TLS

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def test_the_handshake_is_timed(authority: trustme.CA) -> None:
    """A fresh connection has a timing for DNS, connect and TLS."""
    async with receiving(answering(OK), secure=serving(authority.issue_cert(HOST))) as receiver:
        outcome = await send(receiver, trusting(authority))
    assert isinstance(outcome, Response)
    assert None not in (outcome.timings.dns, outcome.timings.connect, outcome.timings.tls)


WRONG: dict[str, tuple[Callable[[trustme.CA], trustme.LeafCert], str]] = {
    "expired": (lambda ca: ca.issue_cert(HOST, not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=1)), "expired"),
    "not yet valid": (
        lambda ca: ca.issue_cert(HOST, not_before=datetime.now(UTC) + timedelta(days=1)),
        "not yet valid",
    ),
    "of another host": (lambda ca: ca.issue_cert("other.example.com"), "Hostname mismatch"),
    "of a parent": (lambda ca: ca.issue_cert("example.com"), "Hostname mismatch"),
    "of a wildcard two levels up": (lambda ca: ca.issue_cert("*.com"), "Hostname mismatch"),
    "of the address": (lambda ca: ca.issue_cert("127.0.0.1"), "Hostname mismatch"),
    "of an unknown authority": (lambda ca: trustme.CA().issue_cert(HOST), "unable to get local issuer"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_certificate_is_refused(authority: trustme.CA, case: str) -> None:
    """No request is sent, and the sentence has the reason."""
    issue, reason = WRONG[case]
    async with receiving(healthy, secure=serving(issue(authority))) as receiver:
        outcome = await send(receiver, trusting(authority))
        assert receiver.accepted == 0  # the server's callback runs after a handshake alone
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TLS
    assert outcome.sentence.startswith(f"The TLS certificate of {HOST} is not valid: ")
    assert reason in outcome.sentence
    assert (outcome.timings.tls, outcome.timings.first_byte) == (None, None)


async def test_the_authorities_of_the_operating_system_are_trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a context of its own the sender trusts what the system trusts: here no more than one file."""
    file = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(file))
    resolver = Resolver(lambda host, port, **options: found("127.0.0.1"))
    async with receiving(healthy, secure=serving(authority.issue_cert(HOST))) as receiver:
        async with Sender(POLICY, resolver=resolver) as sender:
            refused = await sender.send(target_of(receiver), {}, b"{}")
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        async with Sender(POLICY, resolver=resolver) as sender:
            accepted = await sender.send(target_of(receiver), {}, b"{}")
    assert isinstance(refused, Failure)
    assert isinstance(accepted, Response)


async def test_an_address_has_a_certificate_of_its_own(authority: trustme.CA) -> None:
    """A certificate for an address is valid for a URL with that address."""
    async with receiving(healthy, secure=serving(authority.issue_cert("127.0.0.1"))) as receiver:
        assert isinstance(await send(receiver, trusting(authority), host="127.0.0.1"), Response)


async def test_a_server_without_tls_is_a_failure(authority: trustme.CA) -> None:
    """A plain HTTP server at an https URL fails in the handshake."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with receiving(plain) as receiver:
        outcome = await send(receiver, trusting(authority))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.sentence.startswith(f"The TLS handshake with {HOST} failed: ")) == (
        FailureKind.TLS,
        True,
    )


async def test_a_connection_closed_in_the_handshake_is_a_failure(authority: trustme.CA) -> None:
    """The sentence says when the receiver closed."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)

    async with receiving(close) as receiver:
        outcome = await send(receiver, trusting(authority))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TLS


async def test_a_handshake_that_hangs_ends_in_time(authority: trustme.CA) -> None:
    """The sentence says what went on at the end."""
    async with receiving(silent) as receiver:
        outcome = await send(receiver, trusting(authority), seconds=0.3)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, "TLS handshake" in outcome.sentence) == (FailureKind.TIMEOUT, True)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_are_refused(authority: trustme.CA) -> None:
    """TLS 1.1 and older are not spoken."""
    context = serving(authority.issue_cert(HOST))
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with receiving(healthy, secure=context) as receiver:
        outcome: Any = await send(receiver, trusting(authority))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TLS
