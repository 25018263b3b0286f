"""A proxy that is away keeps everything from being sent."""

from prometheus_client import REGISTRY

from tests.integration.webhooks.dispatchers import open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.clocks import Clock
from tests.support.ports import free_port
from tests.support.receiver import Receiver
from webhooks.egress import Proxy

DURATIONS = "darkroom_webhook_attempt_seconds_count"


async def test_a_proxy_that_is_away_is_probed(database: str, shop: Shop, receiver: Receiver) -> None:
    """Whatever the tenant and the origin: one attempt a pause, released, and no receiver is to blame."""
    shops = [shop, *[await shop.another() for _ in range(4)]]
    for number, each in enumerate(shops):
        await each.end(f"{receiver.url}/{number}", 3)
    clock, durations = Clock(), REGISTRY.get_sample_value(DURATIONS)
    async with open_dispatch(database, clock=clock, proxy=Proxy("127.0.0.1", free_port(), None)) as dispatch:
        await dispatch.round()
        first = len(await shop.attempts())
        assert first <= len(shops)
        for more in (1, 2, 3):
            clock.seconds += 61
            await shop.make_due()
            await dispatch.round()
            assert len(await shop.attempts()) == first + more
    assert {row["outcome"] for row in await shop.attempts()} == {"released"}
    assert {(row["status"], row["failures"]) for row in await shop.deliveries()} == {("pending", 0)}
    assert REGISTRY.get_sample_value(DURATIONS) == durations
    assert receiver.requests == []
