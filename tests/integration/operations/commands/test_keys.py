"""`darkroom keys` against the service."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from chassis.keys import ApiKey
from darkroom_contracts.api import Scope
from tests.integration.operations.commands.desk import Desk
from tests.support.commands import Finished, darkroom
from tests.support.keys import insert_key


async def _create(desk: Desk, *options: str) -> Finished:
    return await desk("keys", "create", *options, "--json")


async def test_a_new_key_works_and_is_stored_as_a_hash_only(desk: Desk, rows: asyncpg.Connection) -> None:
    """It has the scope, the tenant and the lifetime that were asked for; the list shows no secret."""
    made = (await _create(desk, "--scope", "observer", "--name", "screen", "--tenant", "shop", "--expires", "90d")).json
    key = ApiKey.parse(made["key"])
    assert key is not None
    lifetime = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert (lifetime, made["tenant"]) == (timedelta(days=90), "shop")
    assert key.matches(await rows.fetchval("SELECT secret_hash FROM api_keys WHERE id = $1", key.id))
    listed = await desk("keys", "list", "--tenant", "shop", key=key)
    assert key.id in listed.out
    assert "screen" in listed.out
    assert key.secret not in listed.out


async def test_a_key_is_rotated(desk: Desk) -> None:
    """The old one is replaced, the new one is of the same name; an overlap of nothing ends it at once."""
    old = (await _create(desk, "--scope", "client", "--name", "shop")).json
    new = (await desk("keys", "rotate", old["id"], "--overlap", "2h", "--reason", "yearly", "--json")).json
    assert (new["name"], new["scope"]) == ("shop", "client")
    newest = (await desk("keys", "rotate", new["id"], "--end-now", "--json")).json
    shown = {key["id"]: key for key in (await desk("keys", "list", "--scope", "client", "--json")).json}
    assert (shown[old["id"]]["replaced_by"], shown[old["id"]]["status"]) == (new["id"], "expiring")
    assert (shown[new["id"]]["replaced_by"], shown[new["id"]]["status"]) == (newest["id"], "expired")
    again = await desk("keys", "rotate", old["id"])
    assert (again.exit_code, "was rotated before" in again.err) == (1, True)


async def test_a_key_is_revoked_by_its_id_or_by_itself(desk: Desk) -> None:
    """A revoked key is listed with the time of its first revocation."""
    made = (await _create(desk, "--scope", "client", "--name", "lost laptop")).json
    once = await desk("keys", "revoke", made["id"], "--reason", "lost", "--json")
    again = await desk("keys", "revoke", made["key"], "--json")
    assert once.json["revoked_at"] == again.json["revoked_at"] is not None
    [shown] = (await desk("keys", "list", "--status", "revoked", "--json")).json
    assert shown["id"] == made["id"]


async def test_a_revocation_can_cancel_what_the_key_queued(desk: Desk) -> None:
    """It is confirmed: without a terminal and --yes nothing happens."""
    made = (await _create(desk, "--scope", "client", "--name", "lost laptop")).json
    refused = await desk("keys", "revoke", made["id"], "--cancel-queued")
    assert (refused.exit_code, "give --yes to do it" in refused.err) == (1, True)
    assert (await desk("keys", "list", "--status", "revoked", "--json")).json == []
    revoked = await desk("keys", "revoke", made["id"], "--cancel-queued", "--yes", "--json")
    assert revoked.json["cancels_jobs"] is True


async def test_keys_that_expire_soon_are_marked(desk: Desk, rows: asyncpg.Connection) -> None:
    """With the time that is left, and what to do; a filter finds them."""
    soon = await insert_key(rows, "shop", expires_at=datetime.now(UTC) + timedelta(days=3, hours=1))
    listed = await desk("keys", "list", "--expiring-within", "30d")
    [line] = [line for line in listed.out.splitlines() if soon.id in line]
    assert "expires in 3 d" in line
    assert f"Expiring within 14 days: {soon.id}; `darkroom keys rotate ID`" in listed.err


async def test_the_acts_are_audited(desk: Desk) -> None:
    """Under the key that was used; the log is read by the command."""
    made = (await _create(desk, "--scope", "operator", "--name", "first", "--reason", "new desk")).json
    await desk("keys", "revoke", made["id"])
    entries = (await desk("audit", "--actor", desk.operator.id, "--json", key=desk.observer)).json
    assert [(entry["action"], entry["subject"], entry["reason"]) for entry in entries] == [
        ("key.revoke", made["id"], None),
        ("key.create", made["id"], "new desk"),
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--scope", "client", "--name", "x", "--tenant", "No Such"), "must be the name of a tenant"),
        (("--scope", "client", "--name", ""), "name"),
        (("--scope", "client", "--name", "a\nb"), "must hold printable characters only"),
        (("--scope", "client", "--name", "a\u202eb"), "A key's name has"),
        (("--scope", "root", "--name", "x"), "is not one of 'client', 'observer', 'operator'"),
        (("--scope", "client", "--name", "x", "--expires", "soon"), "'soon' is not a duration"),
        (("--scope", "client", "--name", "x", "--expires", "12h"), "not a number of whole days"),
        (("--scope", "client", "--name", "x", "--expires", "9999d"), "expires_in_days"),
    ],
)
async def test_a_wrong_request_makes_no_key(desk: Desk, options: tuple[str, ...], complaint: str) -> None:
    """An invalid request fails with a sentence, and no key is made."""
    finished = await _create(desk, *options)
    assert finished.exit_code != 0
    assert complaint in finished.err
    assert (await desk("keys", "list", "--scope", "client", "--json")).json == []


@pytest.mark.parametrize("act", ["rotate", "revoke"])
async def test_an_unknown_key_is_refused(desk: Desk, act: str) -> None:
    """The refusal names the list."""
    finished = await desk("keys", act, "nothing")
    assert (finished.exit_code, finished.err) == (1, "Error: There is no such key; `darkroom keys list` shows all.\n")


async def test_an_observer_only_looks(desk: Desk) -> None:
    """The refusal says which key is needed."""
    assert (await desk("keys", "list", "--json", key=desk.observer)).json
    refused = await desk("keys", "revoke", desk.operator.id, key=desk.observer)
    assert (refused.exit_code, "needs operator" in refused.err) == (1, True)


async def test_a_key_that_is_not_accepted_says_where_to_get_one(desk: Desk) -> None:
    """Such as a key that was revoked."""
    refused = await desk("keys", "list", key=ApiKey.generate(Scope.OPERATOR))
    assert refused.exit_code == 1
    assert "darkroom keys create" in refused.err


async def test_missing_settings_are_named() -> None:
    """Without DARKROOM_URL and a key the command names both."""
    finished = await darkroom("keys", "list")
    assert (finished.exit_code, "Set DARKROOM_URL and DARKROOM_OPERATOR_KEY" in finished.err) == (1, True)
