"""Job ids of any age."""

from datetime import timedelta
from uuid import UUID

from gateway.identifiers import uuid7

NOW = timedelta()


def aged_id(age: timedelta = NOW) -> UUID:
    """Return a job id as the gateway generated it at an earlier time."""
    made = uuid7()
    return UUID(int=made.int - (int(age.total_seconds() * 1000) << 80))
