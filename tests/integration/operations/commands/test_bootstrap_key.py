import getpass
from datetime import datetime, timedelta

import asyncpg
import pytest

from chassis.keys import ApiKey
from tests.integration.operations.commands.desk import Desk
from tests.support.commands import Finished, darkroom


async def _make(database: str, *options: str) -> Finished:
    return await darkroom("bootstrap-key", *options, "--json", DARKROOM_DATABASE_URL=database)


async def test_a_key_is_stored_as_a_hash_only(database: str, rows: asyncpg.Connection) -> None:
    """A new key is an operator's unless another scope is asked for, and the database holds only its hash."""
    made = (await _make(database, "--name", "Ada's laptop")).json
    key = ApiKey.parse(made["key"])
    assert key is not None
    row = await rows.fetchrow("SELECT k.*, t.name AS tenant FROM api_keys k JOIN tenants t ON t.id = tenant_id")
    assert (row["id"], row["scope"], row["tenant"], row["expires_at"]) == (key.id, "operator", "default", None)
    assert key.matches(row["secret_hash"])
    assert key.secret not in repr(tuple(row))


async def test_the_first_key_makes_the_others(database: str, desk: Desk) -> None:
    """It is accepted by the service that runs already."""
    made = (await _make(database, "--name", "first")).json
    first = ApiKey.parse(made["key"])
    second = await desk("keys", "create", "--scope", "client", "--name", "second", "--json", key=first)
    assert second.json["key"].startswith("dk_client_")


async def test_keys_of_one_tenant_share_it(database: str, rows: asyncpg.Connection) -> None:
    """Two keys with the same tenant name belong to one tenant."""
    for name in ("one", "two"):
        await _make(database, "--name", name, "--tenant", "studio")
    assert await rows.fetchval("SELECT count(*) FROM tenants") == 1


async def test_a_key_expires_when_asked(database: str) -> None:
    """`--expires` counts from the creation of the key."""
    made = (await _make(database, "--scope", "client", "--name", "guest", "--expires", "90d")).json
    lifetime = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lifetime == timedelta(days=90)


async def test_people_are_shown_the_key_once(database: str) -> None:
    """On stdout, with what else must be known; that it can't be shown again is on stderr."""
    shown = await darkroom("bootstrap-key", "--name", "first", DARKROOM_DATABASE_URL=database)
    lines = dict(line.split(maxsplit=1) for line in shown.out.splitlines())
    assert lines["key"].startswith(f"dk_operator_{lines['id']}_")
    assert (lines["scope"], lines["tenant"], lines["expires"]) == ("operator", "default", "never")
    assert "can't be shown again" in shown.err


async def test_it_is_audited(database: str, rows: asyncpg.Connection) -> None:
    """Under the name of the user who runs it."""
    made = (await _make(database, "--name", "first")).json
    [entry] = await rows.fetch("SELECT actor, action, subject FROM audit_log")
    assert tuple(entry) == (f"command:{getpass.getuser()}", "key.create", made["id"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--name", "x", "--tenant", "No Such"), "A tenant's name has"),
        (("--name", ""), "A key's name has"),
        (("--name", "a\nb"), "A key's name has"),
        (("--scope", "root", "--name", "x"), "is not one of 'client', 'observer', 'operator'"),
        (("--name", "x", "--expires", "soon"), "'soon' is not a duration"),
    ],
)
async def test_a_wrong_request_makes_no_key(
    database: str, rows: asyncpg.Connection, options: tuple[str, ...], complaint: str
) -> None:
    """An invalid request fails with a sentence, and no key is made."""
    finished = await _make(database, *options)
    assert finished.exit_code != 0
    assert complaint in finished.err
    assert await rows.fetchval("SELECT count(*) FROM api_keys") == 0


async def test_a_missing_database_setting_is_named() -> None:
    """Without DARKROOM_DATABASE_URL the command names the setting and where to find it."""
    finished = await darkroom("bootstrap-key", "--name", "first")
    assert finished.exit_code == 1
    assert "DARKROOM_DATABASE_URL: is not set" in finished.err


async def test_a_database_without_schema_is_reported(empty_database: str) -> None:
    """On an empty database the command says to run `darkroom migrate`, after which it works."""
    before = await _make(empty_database, "--name", "first")
    assert (before.exit_code, "run `darkroom migrate` first" in before.err) == (1, True)
    migrated = await darkroom("migrate", DARKROOM_DATABASE_URL=empty_database)
    assert migrated.out.startswith("Applied migration 1 (foundation).")
    assert (await _make(empty_database, "--name", "first")).json["scope"] == "operator"
