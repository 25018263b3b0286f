"""Job ids."""

import time
from uuid import RFC_4122

from gateway.identifiers import uuid7


def test_an_id_is_a_version_7_uuid() -> None:
    """Version and variant have the positions of RFC 9562."""
    ids = [uuid7() for _ in range(100)]
    assert {(each.version, each.variant) for each in ids} == {(7, RFC_4122)}
    assert len(set(ids)) == 100


def test_ids_carry_their_time() -> None:
    """The first 48 bits are milliseconds since 1970, so later ids sort later."""
    before = time.time_ns() // 1_000_000
    created = uuid7().int >> 80
    assert before <= created <= time.time_ns() // 1_000_000
