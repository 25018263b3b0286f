"""The survey: which destinations have deliveries to send.

Looking at a destination costs a descent of an index. A round looks at all of them while they fit into a page. When
there are more, because many receivers hang, it looks at a page of them at intervals, and in between at the deliveries
of the last moments and at the backlogs of receivers that work, so that the hung ones delay no other.
"""

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import NamedTuple

from chassis.postgres import Connection
from webhooks.dispatch import store
from webhooks.dispatch.records import FIRST, Destination, Place, place_of

PAGE = 100
PAGE_SECONDS = 0.05
"""Between two pages, when one is not enough."""
WALK_SECONDS = 0.5
"""Between two walks of several pages."""
RECENT = 500
RECENT_SECONDS = 2.0
"""How far back the last moments reach at the most."""
COMMIT_SECONDS = 0.25
"""A delivery is recorded so long before it can be seen, or less; one that takes longer is found on its page."""


class Look(NamedTuple):
    """What a look found."""

    candidates: Sequence[Destination]
    """Destinations whose deliveries may be claimed now."""
    page: Sequence[Destination]
    """All destinations of a page, those that are not ready too."""
    ends_walk: bool
    """Whether the page was the last one."""


class Survey:
    """Walks over all destinations, a page at a time, and remembers backlogs."""

    def __init__(self, master_keys: Sequence[str]) -> None:
        self._master_keys = master_keys
        self._after = FIRST
        self._fits_a_page = True
        self._next_page_at = 0.0
        self._looked_at = 0.0
        self._backlogs: dict[Place, Destination] = {}

    @property
    def may_go_on(self) -> bool:
        """Whether a walk is under way whose next page may be looked at now."""
        return self.is_walking and monotonic() >= self._next_page_at

    @property
    def is_walking(self) -> bool:
        """Whether a walk is under way."""
        return self._after != FIRST

    async def look(self, connection: Connection) -> Look:
        """Look for destinations, in a transaction of `Database.index_walk`."""
        now = monotonic()
        recent = [] if self._fits_a_page else await self._find_recent(connection, now)
        is_due = self._fits_a_page or now >= self._next_page_at
        page = await self._next_page(connection) if is_due else []
        self._looked_at = now
        found = [*recent, *(destination for destination in page if destination.ready)]
        candidates = self._backlogs | {place_of(destination): destination for destination in found}
        return Look(list(candidates.values()), page, is_due and not self.is_walking)

    def remember(self, backlogs: Iterable[Destination]) -> None:
        """Look at these destinations in the next round, too, and forget the previous ones."""
        self._backlogs = {place_of(destination): destination for destination in backlogs}

    async def _find_recent(self, connection: Connection, now: float) -> list[Destination]:
        seconds = min(now - self._looked_at + COMMIT_SECONDS, RECENT_SECONDS)
        return await store.find_recent(connection, seconds, RECENT)

    async def _next_page(self, connection: Connection) -> list[Destination]:
        page = await store.find_destinations(connection, self._after, PAGE, self._master_keys)
        is_last = len(page) < PAGE
        self._fits_a_page = self._after == FIRST and is_last
        self._after = FIRST if is_last else place_of(page[-1])
        self._next_page_at = monotonic() + (PAGE_SECONDS if self.is_walking else WALK_SECONDS)
        return page
