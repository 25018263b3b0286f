"""Every odd spelling of a URL, as a delivery would be sent to it: nothing connects, asserted at the socket."""

from collections.abc import Iterator

from chassis.targets import Policy, TargetRefusedError, parse_target
from tests.support.webhook_receivers import healthy, receiving, recorded_connects, sending
from tests.support.webhook_spellings import REFUSED_HOSTS, REFUSED_URLS
from webhooks.sending.outcome import Failure, FailureKind
from webhooks.sending.sender import Sender

SPECIAL = Policy.of(
    ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "::1",
     "fc00::/7", "fe80::/10", "::ffff:0:0/96", "::/96", "64:ff9b::/96"]
)  # fmt: skip
"""What an operator may have allowed when the URL was accepted, and no longer allows."""


def urls(port: int) -> Iterator[str]:
    """Yield all spellings, with the port of a listening socket where they have none."""
    yield from (url for group in REFUSED_URLS.values() for url in group)
    for host in (host for group in REFUSED_HOSTS.values() for host in group):
        yield from (
            f"{scheme}://{authority}/" for scheme in ("http", "https") for authority in (f"{host}:{port}", host)
        )


async def deliver(url: str, accepted_under: Policy, sender: Sender) -> bool:
    """Send to a URL if it was accepted, and return whether it was."""
    try:
        target = parse_target(url, accepted_under)
    except TargetRefusedError:
        return False
    outcome = await sender.send(target, {}, b"{}")
    assert isinstance(outcome, Failure), url
    assert outcome.kind is FailureKind.DENIED, url
    return True


async def test_no_spelling_leads_to_a_denied_address() -> None:
    """Nothing connects to this machine under any spelling, although its ports listen on all of its addresses."""
    async with (
        receiving(healthy, host="0.0.0.0") as receiver,
        receiving(healthy, host="::", port=receiver.port) as ipv6,
    ):
        policy = Policy(ports=frozenset((443, receiver.port)))
        tried = set(urls(receiver.port))
        with recorded_connects() as connects:
            async with sending(policy) as sender:
                assert not any([await deliver(url, policy, sender) for url in tried])
                later_denied = [url for url in tried if await deliver(url, SPECIAL, sender)]
        assert (connects, receiver.accepted, ipv6.accepted) == ([], 0, 0)
    assert len(tried) >= 200
    assert len(later_denied) >= 50
