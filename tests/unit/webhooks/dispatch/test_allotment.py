"""How destinations share the room for deliveries."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from tests.support.deliveries import destination
from webhooks.dispatch.allotment import FEW, InFlight, Limits, Standing, Trust, allot
from webhooks.dispatch.records import Destination, Share

WIDE = Limits(100, 100, 100)
A, B = uuid4(), uuid4()


def unlimited(_: Destination) -> Standing:
    return Standing(None, Trust.WORKED)


def counts(shares: list[Share]) -> list[int]:
    return [share.at_most for share in shares]


def test_destinations_share_equally() -> None:
    """A destination gets another delivery only when every destination with room has as many."""
    destinations = [destination(A, "https://a:443"), destination(A, "https://b:443"), destination(B, "https://c:443")]
    shares = allot(destinations, InFlight(), Limits(8, 100, 100), unlimited)
    assert [share.destination for share in shares] == destinations
    assert counts(shares) == [3, 3, 2]


def test_an_origin_is_bounded_for_all_tenants() -> None:
    """What flies there already counts, for every tenant."""
    busy = InFlight()
    busy.add(B, "https://a:443", 3)
    destinations = [destination(A, "https://a:443"), destination(A, "https://b:443")]
    assert counts(allot(destinations, busy, Limits(100, 100, 5), unlimited)) == [2, 5]


def test_a_tenant_is_bounded_over_its_origins() -> None:
    """One tenant's backlog leaves room for another's."""
    destinations = [destination(A, "https://a:443"), destination(A, "https://b:443"), destination(B, "https://c:443")]
    assert counts(allot(destinations, InFlight(), Limits(100, 6, 100), unlimited)) == [3, 3, 6]


def test_a_destination_has_the_limit_of_its_circuit() -> None:
    """A probe is alone, and a skipped destination gets nothing; both count what is in flight."""
    probed, skipped, free = (
        destination(A, "https://a:443"),
        destination(A, "https://b:443"),
        destination(A, "https://c:443"),
    )
    most = {probed: 1, skipped: 0, free: None}

    def standing_of(destination: Destination) -> Standing:
        return Standing(most[destination], Trust.WORKED)

    shares = allot([probed, skipped, free], InFlight(), Limits(4, 100, 100), standing_of)
    assert {share.destination: share.at_most for share in shares} == {probed: 1, free: 3}
    busy = InFlight()
    busy.add(A, probed.origin)
    assert allot([probed], busy, WIDE, standing_of) == []


def test_destinations_that_are_not_ready_get_nothing() -> None:
    """Nothing of theirs is due, or their endpoint is paused."""
    assert allot([destination(A, ready=False)], InFlight(), WIDE, unlimited) == []


def test_what_ended_makes_room() -> None:
    """A full process claims nothing until a delivery ends."""
    busy = InFlight()
    busy.add(A, "https://a:443", 2)
    destinations = [destination(B)]
    assert allot(destinations, busy, Limits(2, 100, 100), unlimited) == []
    busy.add(A, "https://a:443", -1)
    assert counts(allot(destinations, busy, Limits(2, 100, 100), unlimited)) == [1]
    assert busy.total == 1


def hang(tenants: Sequence[UUID], trust: Trust, limits: Limits) -> InFlight:
    """Return what is in flight when 50 receivers of each tenant hang."""
    busy = InFlight()
    for tenant in tenants:
        hung = [destination(tenant, f"https://hung-{number}-{tenant}:443") for number in range(50)]
        for share in allot(hung, busy, limits, lambda _: Standing(1, trust)):
            busy.add(tenant, share.destination.origin, share.at_most, trust=trust)
    return busy


def test_the_unproven_leave_half_of_the_room() -> None:
    """However many receivers hang, those that work have room, in all and of each tenant."""
    for limits, tenants, hanging in (
        (Limits(20, 100, 100), [uuid4() for _ in range(10)], 10),
        (Limits(100, 20, 100), [A], 10),
    ):
        busy = hang(tenants, Trust.UNKNOWN, limits)
        assert busy.total == hanging
        assert counts(allot([destination(tenants[0])], busy, limits, unlimited)) == [10]
        for tenant in tenants:
            busy.add(tenant, "https://hung:443", -1, trust=Trust.UNKNOWN)
        assert busy.total == hanging - len(tenants)


def test_the_failed_leave_half_of_that_to_the_unknown() -> None:
    """A receiver of which nothing is known is tried beside any number of hung ones that failed before."""
    new = destination(A, "https://new:443")
    for limits, tenants in ((Limits(20, 100, 100), [A, *(uuid4() for _ in range(9))]), (Limits(100, 20, 100), [A])):
        busy = hang(tenants, Trust.FAILED, limits)
        assert busy.total == 5
        failed = destination(A, "https://another:443")
        assert allot([failed], busy, limits, lambda _: Standing(1, Trust.FAILED)) == []
        assert [share.destination for share in allot([new], busy, limits, lambda _: Standing(1, Trust.UNKNOWN))] == [
            new
        ]


@pytest.mark.parametrize("trust", [Trust.UNKNOWN, Trust.FAILED])
def test_a_few_tenants_leave_room_to_try_another_s(trust: Trust) -> None:
    """However many of their receivers hang, and however few tenants they are."""
    limits = Limits(80, 40, 100)
    busy = hang([uuid4() for _ in range(5)], trust, limits)
    new = [destination(A, f"https://new-{number}:443") for number in range(3)]
    shares = allot(new, busy, limits, lambda _: Standing(1, trust))
    assert [share.destination for share in shares] == new[:FEW]
