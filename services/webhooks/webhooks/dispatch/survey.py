"""The survey: which destinations have deliveries to send.

Looking at a destination costs a descent of an index. The dispatcher looks at all of them while they fit into a page.
When there are more, because many receivers hang, it looks at the deliveries of the last moments and at the backlogs of
receivers that work, while the walker looks at a page at intervals, so that the hung ones delay no other.
"""

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import NamedTuple

from chassis.postgres import Connection
from webhooks.dispatch import store
from webhooks.dispatch.records import FIRST, Destination, Place, place_of

PAGE = 100
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
        self.fits_a_page = True
        """Whether all destinations did when they were last looked at."""
        self._master_keys = master_keys
        self._after = FIRST
        self._looked_at = 0.0
        self._backlogs: dict[Place, Destination] = {}

    @property
    def has_backlogs(self) -> bool:
        """Whether a receiver that works has more deliveries than found room."""
        return bool(self._backlogs)

    async def look(self, connection: Connection) -> Look:
        """Look at all destinations if they fit into a page, otherwise at the last moments and the backlogs.

        In a transaction of `Database.index_walk`, as the other way to look.
        """
        now = monotonic()
        recent = [] if self.fits_a_page else await self._find_recent(connection, now)
        look = await self.look_at_page(connection) if self.fits_a_page else Look([], [], ends_walk=False)
        self._looked_at = now
        found = {place_of(destination): destination for destination in (*recent, *look.candidates)}
        return look._replace(candidates=list((self._backlogs | found).values()))

    async def look_at_page(self, connection: Connection) -> Look:
        """Look at the next page."""
        page = await store.find_destinations(connection, self._after, PAGE, self._master_keys)
        is_last = len(page) < PAGE
        self.fits_a_page = self._after == FIRST and is_last
        self._after = FIRST if is_last else place_of(page[-1])
        return Look([destination for destination in page if destination.ready], page, is_last)

    def remember(self, look: Look, backlogs: Iterable[Destination]) -> None:
        """Keep the backlogs that a look left, and forget the others that it saw."""
        for destination in look.candidates:
            self._backlogs.pop(place_of(destination), None)
        self._backlogs |= {place_of(destination): destination for destination in backlogs}

    def expect(self, destination: Destination) -> None:
        """Take a destination for a backlog, until it is looked at."""
        self._backlogs[place_of(destination)] = destination

    async def _find_recent(self, connection: Connection, now: float) -> list[Destination]:
        seconds = min(now - self._looked_at + COMMIT_SECONDS, RECENT_SECONDS)
        return await store.find_recent(connection, seconds, RECENT)
