"""The rotation of the master key: what still needs the old one, and what is moved to the new one."""

from uuid import UUID

import asyncpg
import httpx2
import pytest
from prometheus_client import REGISTRY

from chassis.postgres import Database
from tests.integration.webhooks.http_api import NEW_KEY, OLD_KEY
from tests.integration.webhooks.registry.made import PATH, make, read
from webhooks.registry import reencrypting
from webhooks.registry.key_use import MasterKeyUse, MissingMasterKeysError
from webhooks.registry.reencrypting import Reencrypting
from webhooks.secrets import MasterKeys

BOTH = MasterKeys([NEW_KEY, OLD_KEY])
ONLY_NEW = MasterKeys([NEW_KEY])
HEADERS = {"authorization": "Bearer t"}
READ_HEADERS = "SELECT id, headers, headers_key FROM webhook_endpoints WHERE headers IS NOT NULL ORDER BY id"


def counted(master_key: str) -> float | None:
    """Return the metric of a master key."""
    return REGISTRY.get_sample_value("darkroom_webhook_endpoints_by_master_key", {"master_key": master_key})


async def test_headers_move_to_the_primary_key(
    client: httpx2.AsyncClient, pool: Database, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bounded batches, until none is left. Deliveries can be sent all the time."""
    monkeypatch.setattr(reencrypting, "BATCH", 2)
    for number in range(5):
        await make(client, headers=HEADERS | {"x-number": str(number)})
    await make(client)
    loop = Reencrypting(pool, BOTH)
    assert [await loop.run_once() for _ in range(3)] == [True, True, False]
    found = await rows.fetch(READ_HEADERS)
    assert {row["headers_key"] for row in found} == {"new"}
    decrypted = [ONLY_NEW.decrypt_headers("new", row["id"], row["headers"]) for row in found]
    assert sorted(headers["x-number"] for headers in decrypted) == list("01234")
    assert [await loop.run_once() for _ in range(2)] == [False, False]
    assert await rows.fetch(READ_HEADERS) == found


async def test_headers_that_can_t_be_read_stay(
    client: httpx2.AsyncClient, pool: Database, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They keep no others from being moved: neither changed ones nor those of a key that is missing."""
    monkeypatch.setattr(reencrypting, "BATCH", 1)
    made = sorted([(await make(client, headers=HEADERS))["id"] for _ in range(4)])
    await rows.execute("UPDATE webhook_endpoints SET headers = 'changed' WHERE id = ANY ($1::uuid[])", made[:2])
    await rows.execute("UPDATE webhook_endpoints SET headers_key = 'gone' WHERE id = $1", made[2])
    loop = Reencrypting(pool, BOTH)
    while await loop.run_once():
        pass
    keys = {str(row["id"]): row["headers_key"] for row in await rows.fetch(READ_HEADERS)}
    assert [keys[each] for each in made] == ["old", "old", "gone", "new"]


async def test_a_change_at_the_same_time_wins(
    client: httpx2.AsyncClient, pool: Database, rows: asyncpg.Connection
) -> None:
    """An endpoint that is locked is left for the next pass."""
    made = await make(client, headers=HEADERS)
    async with rows.transaction():
        await rows.execute("SELECT 1 FROM webhook_endpoints WHERE id = $1 FOR UPDATE", made["id"])
        assert await Reencrypting(pool, BOTH).run_once() is False
    assert [row["headers_key"] for row in await rows.fetch(READ_HEADERS)] == ["old"]


async def test_the_operator_sees_when_a_key_can_go(
    client: httpx2.AsyncClient, pool: Database, rows: asyncpg.Connection
) -> None:
    """Secrets, those before a rotation, and headers count; deleted endpoints do not."""
    keep = await make(client, headers=HEADERS)
    await make(client)
    deleted = await make(client)
    use = MasterKeyUse(pool, BOTH)
    await use.run_once()
    assert (counted("old"), counted("new")) == (3, 0)
    await client.delete(f"{PATH}/{deleted['id']}")
    await Reencrypting(pool, BOTH).run_once()
    await use.run_once()
    assert (counted("old"), counted("new")) == (2, 1)
    rotation = """
        UPDATE webhook_endpoints SET rotation = 1, master_key = 'new', previous_master_key = 'old',
            previous_until = now() + $1::interval WHERE NOT implicit
    """
    for interval, old in (("1 hour", 2), ("-1 hour", 0)):
        await rows.execute(rotation.replace("$1", f"'{interval}'"))
        await use.run_once()
        assert (counted("old"), counted("new")) == (old, 2)
    await use.check()
    assert (await read(client, "implicit"))["id"] != keep["id"]  # which adopts the key of the API, the old one
    await use.run_once()
    assert counted("old") == 1


async def test_a_missing_key_makes_the_service_unready(
    client: httpx2.AsyncClient, pool: Database, rows: asyncpg.Connection
) -> None:
    """So that a new version with wrong settings replaces no old one. The check names the key; it passes again later."""
    made = await make(client)
    use = MasterKeyUse(pool, ONLY_NEW)
    with pytest.raises(MissingMasterKeysError, match="not counted yet"):
        await use.check()
    await use.run_once()
    with pytest.raises(MissingMasterKeysError, match=r"'old' \(1\); add them to DARKROOM_WEBHOOKS_MASTER_KEYS again"):
        await use.check()
    assert REGISTRY.get_sample_value("darkroom_webhook_endpoints_without_master_key") == 1
    await rows.execute("UPDATE webhook_endpoints SET master_key = 'new' WHERE id = $1", UUID(made["id"]))
    await use.run_once()
    await use.check()
    assert REGISTRY.get_sample_value("darkroom_webhook_endpoints_without_master_key") == 0
    assert counted("old") is None
