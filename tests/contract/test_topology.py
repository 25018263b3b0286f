import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom_contracts.topology import DEFAULT_RETRY_DELAYS, Lanes, topology

WORK_ARGUMENTS = {
    "x-queue-type": "quorum",
    "x-dead-letter-exchange": "darkroom.dead",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    "x-delivery-limit": 50,
}
LANES = {
    "darkroom.retry.10sa.v1": 8_000,
    "darkroom.retry.10sb.v1": 10_000,
    "darkroom.retry.10sc.v1": 12_000,
    "darkroom.retry.1ma.v1": 48_000,
    "darkroom.retry.1mb.v1": 60_000,
    "darkroom.retry.1mc.v1": 72_000,
    "darkroom.retry.5ma.v1": 240_000,
    "darkroom.retry.5mb.v1": 300_000,
    "darkroom.retry.5mc.v1": 360_000,
}


def test_the_exchanges_are_pinned() -> None:
    """Names and types of exchanges never change: RabbitMQ refuses to declare one with another type."""
    declared = {exchange.name: exchange.type for exchange in topology([], Lanes.of()).exchanges}
    assert declared == {
        "darkroom.work": "direct",
        "darkroom.retry": "headers",
        "darkroom.dead": "fanout",
        "darkroom.events": "topic",
    }


def test_the_queues_are_pinned() -> None:
    """Names and arguments of queues never change: a changed argument needs a new name."""
    declared = {queue.name: queue.arguments for queue in topology(["tiny", "sd15"], Lanes.of()).queues}
    lanes = {
        name: {
            "x-queue-type": "quorum",
            "x-message-ttl": ttl,
            "x-dead-letter-exchange": "darkroom.work",
            "x-delivery-limit": 1_000_000,
        }
        for name, ttl in LANES.items()
    }
    dead = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
    assert declared == {
        "darkroom.dead.v1": dead,
        "darkroom.render.tiny.v1": WORK_ARGUMENTS,
        "darkroom.render.sd15.v1": WORK_ARGUMENTS,
        **lanes,
    }


def test_the_bindings_are_pinned() -> None:
    """Work is routed by model and retries by their lane, and all dead letters go to one queue."""
    bindings = topology(["tiny"], Lanes.of((10,))).bindings
    assert {(b.exchange, b.queue, b.routing_key, msgspec.json.encode(b.arguments)) for b in bindings} == {
        ("darkroom.dead", "darkroom.dead.v1", "", b"null"),
        ("darkroom.work", "darkroom.render.tiny.v1", "tiny", b"null"),
        *(
            ("darkroom.retry", f"darkroom.retry.{lane}.v1", "", b'{"x-match":"all","lane":"%s"}' % lane.encode())
            for lane in ("10sa", "10sb", "10sc")
        ),
    }


def test_no_path_leads_from_a_work_queue_back_to_it() -> None:
    """Work queues dead-letter to the dead-letter queue, which has no target: the broker drops messages in a cycle."""
    queues = {queue.name: queue for queue in topology(["tiny"], Lanes.of()).queues}
    assert queues["darkroom.render.tiny.v1"].arguments["x-dead-letter-exchange"] == "darkroom.dead"
    assert "x-dead-letter-exchange" not in queues["darkroom.dead.v1"].arguments
    assert "x-message-ttl" not in queues["darkroom.dead.v1"].arguments


@pytest.mark.parametrize(("attempt", "rung"), [(1, "10s"), (2, "1m"), (3, "5m"), (4, "5m"), (99, "5m")])
def test_each_attempt_waits_on_its_rung(attempt: int, rung: str) -> None:
    """Each attempt uses the next rung, and all later ones the last."""
    assert {Lanes.of().after(attempt).name for _ in range(100)} == {f"{rung}{letter}" for letter in "abc"}


@given(st.floats(0, 1e9))
def test_the_covering_lane_is_the_shortest_that_is_long_enough(milliseconds: float) -> None:
    """A message that is not due is parked in the shortest lane that covers its delay."""
    lanes = Lanes.of()
    covering = lanes.covering(milliseconds)
    long_enough = [lane.ttl_ms for lane in lanes if lane.ttl_ms >= milliseconds]
    assert covering.ttl_ms == min(long_enough, default=max(lane.ttl_ms for lane in lanes))


def test_the_ladder_is_sorted() -> None:
    """Delays in any order make the same ladder."""
    assert Lanes.of((300, 10, 60)) == Lanes.of(DEFAULT_RETRY_DELAYS) == Lanes.of()
