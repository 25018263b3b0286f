"""Which destinations may claim how many deliveries: bounded in all, for each origin and for each tenant, and fair."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

import msgspec

from webhooks.dispatch.records import Destination, Share


class Limits(msgspec.Struct, frozen=True):
    """Most deliveries of this process in flight."""

    total: int
    per_tenant: int
    per_origin: int


class Trust(Enum):
    """What is known of a receiver's latest attempt.

    Receivers that may hang share half of the room, and those that failed half of that: so there is room for those that
    work, and for those that may turn out to. Of either part the second half is for tenants that have little of it: so
    the receivers of some tenants, however many hang, leave room to try another's.
    """

    WORKED = auto()
    UNKNOWN = auto()
    FAILED = auto()


class Standing(NamedTuple):
    """What is known of a tenant's use of an origin."""

    most: int | None
    """How many of its deliveries may be in flight; None without a limit."""
    trust: Trust


_COUNTED: Mapping[Trust, tuple[str, ...]] = {
    Trust.WORKED: (),
    Trust.UNKNOWN: ("unproven",),
    Trust.FAILED: ("unproven", "failed"),
}
"""As what deliveries are counted in addition."""
_PARTS = {"unproven": 2, "failed": 4}
"""The part of the room that these may take: a half, a quarter."""
FEW = 2
"""Deliveries to receivers of the same trust that a tenant may have in flight once half of a part is taken."""


class InFlight:
    """Deliveries in flight, counted by what bounds them."""

    def __init__(self, counts: Mapping[Hashable, int] = MappingProxyType({})) -> None:
        self._counts: Counter[Hashable] = Counter(counts)

    @property
    def total(self) -> int:
        """All of them."""
        return self._counts["total"]

    def add(self, tenant_id: UUID, origin: str, count: int = 1, *, trust: Trust = Trust.WORKED) -> None:
        """Count deliveries, or with a negative count those that ended."""
        kinds = _COUNTED[trust]
        of_tenant = (tenant_id, (tenant_id, origin), (trust, tenant_id), *((kind, tenant_id) for kind in kinds))
        for key in ("total", origin, *kinds, *of_tenant):
            self._counts[key] += count
            if not self._counts[key]:
                del self._counts[key]

    def copy(self) -> "InFlight":
        """Return an independent copy."""
        return InFlight(self._counts)

    def has_room(self, tenant_id: UUID, origin: str, limits: Limits, standing: Standing) -> bool:
        """Return whether one more may fly."""
        counts = self._counts
        return (
            counts["total"] < limits.total
            and counts[tenant_id] < limits.per_tenant
            and counts[origin] < limits.per_origin
            and (standing.most is None or counts[tenant_id, origin] < standing.most)
            and all(self._has_part(kind, tenant_id, limits, standing.trust) for kind in _COUNTED[standing.trust])
        )

    def _has_part(self, kind: str, tenant_id: UUID, limits: Limits, trust: Trust) -> bool:
        """Return whether one more of a kind may fly."""
        in_all, of_tenant = (max(1, room // _PARTS[kind]) for room in (limits.total, limits.per_tenant))
        taken = self._counts[kind]
        return (
            taken < in_all
            and self._counts[kind, tenant_id] < of_tenant
            and (2 * taken < in_all or self._counts[trust, tenant_id] < FEW)
        )


def allot(
    destinations: Sequence[Destination],
    in_flight: InFlight,
    limits: Limits,
    standing_of: Callable[[Destination], Standing],
) -> list[Share]:
    """Give each destination that is ready one delivery in turn, until no destination has room for another."""
    planned = in_flight.copy()
    given: Counter[int] = Counter()
    open_ones = {index: standing_of(destination) for index, destination in enumerate(destinations) if destination.ready}
    while open_ones:
        for index, standing in list(open_ones.items()):
            destination = destinations[index]
            if planned.has_room(destination.tenant_id, destination.origin, limits, standing):
                planned.add(destination.tenant_id, destination.origin, trust=standing.trust)
                given[index] += 1
            else:
                del open_ones[index]
    return [Share(destinations[index], count) for index, count in given.items()]
