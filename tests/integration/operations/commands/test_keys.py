import getpass
from datetime import datetime, timedelta

import asyncpg
import pytest

from chassis.keys import ApiKey
from tests.support.commands import Finished, darkroom


async def _create(database: str, *options: str) -> Finished:
    return await darkroom("keys", "create", *options, "--json", DARKROOM_DATABASE_URL=database)


async def test_a_key_is_stored_as_a_hash_only(database: str) -> None:
    """A new key authenticates, and the database holds only its hash."""
    made = (await _create(database, "--scope", "client", "--name", "development")).json
    key = ApiKey.parse(made["key"])
    assert key is not None
    connection = await asyncpg.connect(database)
    row = await connection.fetchrow("SELECT k.*, t.name AS tenant FROM api_keys k JOIN tenants t ON t.id = tenant_id")
    await connection.close()
    assert (row["id"], row["scope"], row["tenant"], row["expires_at"]) == (key.id, "client", "default", None)
    assert key.matches(row["secret_hash"])
    assert key.secret not in repr(tuple(row))


async def test_keys_of_one_tenant_share_it(database: str) -> None:
    """Two keys with the same tenant name belong to one tenant."""
    for name in ("one", "two"):
        await _create(database, "--scope", "operator", "--name", name, "--tenant", "studio")
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM tenants") == 1
    await connection.close()


async def test_a_key_expires_when_asked(database: str) -> None:
    """`--expires` counts from the creation of the key."""
    made = (await _create(database, "--scope", "client", "--name", "guest", "--expires", "90d")).json
    lifetime = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lifetime == timedelta(days=90)


async def test_keys_are_listed_and_revoked(database: str) -> None:
    """A revoked key is listed with the time of its first revocation, and the list shows no secret."""
    made = (await _create(database, "--scope", "client", "--name", "lost laptop")).json
    once = await darkroom("keys", "revoke", made["id"], "--json", DARKROOM_DATABASE_URL=database)
    again = await darkroom("keys", "revoke", made["key"], "--json", DARKROOM_DATABASE_URL=database)
    assert once.json["revoked_at"] == again.json["revoked_at"] is not None
    listed = await darkroom("keys", "list", DARKROOM_DATABASE_URL=database)
    assert made["id"] in listed.out
    assert "lost laptop" in listed.out
    assert ApiKey.parse(made["key"]).secret not in listed.out  # type: ignore[union-attr]


async def test_the_acts_of_the_command_are_audited(database: str) -> None:
    """Under the name of the user who runs it."""
    made = (await _create(database, "--scope", "operator", "--name", "first")).json
    await darkroom("keys", "revoke", made["id"], DARKROOM_DATABASE_URL=database)
    connection = await asyncpg.connect(database)
    entries = await connection.fetch("SELECT actor, action, subject FROM audit_log ORDER BY id")
    await connection.close()
    assert [(entry["action"], entry["subject"]) for entry in entries] == [
        ("key.create", made["id"]),
        ("key.revoke", made["id"]),
    ]
    assert {entry["actor"] for entry in entries} == {f"command:{getpass.getuser()}"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--scope", "client", "--name", "x", "--tenant", "No Such"), "A tenant's name has"),
        (("--scope", "client", "--name", ""), "A key's name has"),
        (("--scope", "client", "--name", "a\nb"), "A key's name has"),
        (("--scope", "root", "--name", "x"), "is not one of 'client', 'observer', 'operator'"),
        (("--scope", "client", "--name", "x", "--expires", "soon"), "'soon' is not a duration"),
    ],
)
async def test_a_wrong_request_makes_no_key(database: str, options: tuple[str, ...], complaint: str) -> None:
    """An invalid request fails with a sentence, and no key is made."""
    finished = await _create(database, *options)
    assert finished.exit_code != 0
    assert complaint in finished.err
    assert (await darkroom("keys", "list", "--json", DARKROOM_DATABASE_URL=database)).json == []


async def test_an_unknown_key_is_refused(database: str) -> None:
    """The revocation of an unknown key fails and names the list."""
    finished = await darkroom("keys", "revoke", "nothing", DARKROOM_DATABASE_URL=database)
    assert (finished.exit_code, finished.err) == (1, "Error: There is no such key; `darkroom keys list` shows all.\n")


async def test_a_missing_database_setting_is_named() -> None:
    """Without DARKROOM_DATABASE_URL the command names the setting and where to find it."""
    finished = await darkroom("keys", "list")
    assert finished.exit_code == 1
    assert "DARKROOM_DATABASE_URL: is not set" in finished.err


async def test_a_database_without_schema_is_reported(empty_database: str) -> None:
    """On an empty database the commands say to run `darkroom migrate`, after which they work."""
    before = await darkroom("keys", "list", DARKROOM_DATABASE_URL=empty_database)
    assert (before.exit_code, "run `darkroom migrate` first" in before.err) == (1, True)
    migrated = await darkroom("migrate", DARKROOM_DATABASE_URL=empty_database)
    assert migrated.out.startswith("Applied migration 1 (foundation).")
    assert (await darkroom("keys", "list", "--json", DARKROOM_DATABASE_URL=empty_database)).json == []
