"""Keys over HTTP: made, listed, rotated and revoked, each act in the audit log."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from chassis.keys import ApiKey
from darkroom_contracts.api import Scope
from tests.support.declared import Api, declared_client, refusal
from tests.support.keys import insert_key

KEYS = "/v1/operations/keys"
NEW = {"scope": "client", "name": "web shop", "tenant": "shop"}


async def make(operator: httpx2.AsyncClient, **changes: Any) -> Any:
    """Return the body of a new key."""
    response = await operator.post(KEYS, json=NEW | changes)
    assert response.status_code == 201, response.text
    assert response.headers["cache-control"] == "no-store"
    return response.json()


async def listed(client: httpx2.AsyncClient, **query: Any) -> list[Any]:
    response = await client.get(KEYS, params=query)
    assert response.status_code == 200, response.text
    return list(response.json()["keys"])


async def audited(client: httpx2.AsyncClient, **query: Any) -> list[Any]:
    return list((await client.get("/v1/operations/audit", params=query)).json()["entries"])


def actor_of(client: httpx2.AsyncClient) -> str:
    key = ApiKey.parse(client.headers["Authorization"].removeprefix("Bearer "))
    assert key is not None
    return key.id


async def works(api: Api, key: str) -> bool:
    """Return whether a key is accepted by a service that has not seen it: a client's lacks the scope."""
    async with declared_client(api.app.http, key) as client:
        return (await client.get(KEYS)).status_code in (200, 403)


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_new_key_works_and_is_shown_once(
    api: Api, operator: httpx2.AsyncClient, rows: asyncpg.Connection, scope: Scope
) -> None:
    """It has the scope that it names; the database, the list and the audit log hold no secret."""
    made = await make(operator, scope=scope, expires_in_days=30)
    assert made["key"].startswith(f"dk_{scope}_{made['id']}_")
    assert await works(api, made["key"])
    lifetime = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert (lifetime, made["status"], made["tenant"]) == (timedelta(days=30), "active", "shop")
    secret = made.pop("key").split("_")[-1]
    assert await listed(operator, tenant="shop") == [made]
    held = await rows.fetch("SELECT audit_log::text FROM audit_log UNION ALL SELECT api_keys::text FROM api_keys")
    assert not [row for row in held if secret[:27] in row[0]]


async def test_every_act_is_audited(operator: httpx2.AsyncClient) -> None:
    """Who, what, on which key, why, and what it changed."""
    made = await make(operator, reason="new shop")
    rotated = (await operator.post(f"{KEYS}/{made['id']}/rotate", json={"reason": "yearly"})).json()
    await operator.post(f"{KEYS}/{rotated['id']}/revoke", json={"reason": "leaked"})
    entries = await audited(operator, actor=actor_of(operator))
    assert [(entry["action"], entry["subject"], entry["reason"]) for entry in entries] == [
        ("key.revoke", rotated["id"], "leaked"),
        ("key.create", rotated["id"], "yearly"),
        ("key.rotate", made["id"], "yearly"),
        ("key.create", made["id"], "new shop"),
    ]
    revoked, _, replaced, created = entries
    assert revoked["before"] == {"status": "active", "revoked_at": None}
    assert revoked["after"]["status"] == "revoked"
    assert replaced["after"]["replaced_by"] == rotated["id"]
    assert (created["before"], created["after"]["name"]) == (None, "web shop")


async def test_the_list_tells_which_keys_expire_soon(operator: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """By status, and within any number of days; expired and revoked keys are not among those."""
    now = datetime.now(UTC)
    days = {"never": None, "soon": 5, "later": 20, "past": -1}
    keys = {
        name: (await insert_key(rows, "shop", expires_at=None if n is None else now + timedelta(days=n))).id
        for name, n in days.items()
    }
    keys["revoked"] = (await insert_key(rows, "shop", expires_at=now + timedelta(days=5), revoked_at=now)).id
    names = {the_id: name for name, the_id in keys.items()}

    async def found(**query: Any) -> set[str]:
        return {names[key["id"]] for key in await listed(operator, tenant="shop", **query)}

    assert await found() == set(keys)
    assert await found(status="expiring") == {"soon"}
    assert await found(status="active") == {"never", "soon", "later"}
    assert await found(status="expired") == {"past"}
    assert await found(status="revoked") == {"revoked"}
    assert await found(expiring_within_days=30) == {"soon", "later"}
    assert await found(scope="operator") == set()
    assert await listed(operator, tenant="nobody") == []


async def test_one_key_is_found_by_its_id(operator: httpx2.AsyncClient) -> None:
    """Among all of them; an unknown id finds none."""
    made = await make(operator)
    await make(operator)
    assert [key["id"] for key in await listed(operator, id=made["id"])] == [made["id"]]
    assert await listed(operator, id="a1B2c3D4e5F6") == []


async def test_pages_show_each_key_once(operator: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """The newest first, also those made in one moment."""
    for _ in range(7):
        await insert_key(rows, "shop")
    await rows.execute("UPDATE api_keys SET created_at = date_trunc('day', now())")
    seen, query = [], {"tenant": "shop", "limit": "3"}
    while True:
        page = (await operator.get(KEYS, params=query)).json()
        seen += [key["id"] for key in page["keys"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 7


async def test_a_rotated_key_works_for_the_overlap(api: Api, operator: httpx2.AsyncClient) -> None:
    """The new one is as the old one, with a lifetime as long."""
    old = await make(operator, expires_in_days=100)
    response = await operator.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_hours": 2})
    assert response.status_code == 201
    new = response.json()
    assert [new[field] for field in ("scope", "name", "tenant")] == [
        old[field] for field in ("scope", "name", "tenant")
    ]
    assert await works(api, old["key"])
    assert await works(api, new["key"])
    [shown] = [key for key in await listed(operator, tenant="shop") if key["id"] == old["id"]]
    assert shown["replaced_by"] == new["id"]
    left = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=1.9) < left <= timedelta(hours=2)
    lifetime = datetime.fromisoformat(new["expires_at"]) - datetime.fromisoformat(new["created_at"])
    assert abs(lifetime - timedelta(days=100)) < timedelta(seconds=1)


async def test_an_overlap_never_extends_a_key(operator: httpx2.AsyncClient) -> None:
    """A key that expires before the end of the overlap keeps its expiry; without an overlap it ends at once."""
    old = await make(operator, expires_in_days=1)
    await operator.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_hours": 720, "expires_in_days": 5})
    other = await make(operator)
    await operator.post(f"{KEYS}/{other['id']}/rotate", json={"overlap_hours": 0})
    shown = {key["id"]: key for key in await listed(operator)}
    assert shown[old["id"]]["expires_at"] == old["expires_at"]
    assert shown[other["id"]]["status"] == "expired"


async def test_a_key_is_rotated_once(operator: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Not twice, and not when it is revoked or expired: the problem says what to do."""
    made = await make(operator)
    await operator.post(f"{KEYS}/{made['id']}/rotate", json={})
    revoked = await insert_key(rows, revoked_at=datetime.now(UTC))
    expired = await insert_key(rows, expires_at=datetime.now(UTC))
    for key_id, advice in ((made["id"], "Rotate that one"), (revoked.id, "Create"), (expired.id, "Create")):
        response = await operator.post(f"{KEYS}/{key_id}/rotate", json={})
        assert refusal(response) == (409, "conflict", None)
        assert advice in response.json()["detail"]


async def test_a_revoked_key_is_refused(api: Api, operator: httpx2.AsyncClient) -> None:
    """Revoking again changes nothing and is not audited again."""
    made = await make(operator)
    answers = [await operator.post(f"{KEYS}/{made['id']}/revoke", json={}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert not await works(api, made["key"])
    assert len(await audited(operator, subject=made["id"], action="key.revoke")) == 1


async def test_a_revocation_can_cancel_what_the_key_queued(operator: httpx2.AsyncClient) -> None:
    """Also one that comes after the key was revoked without; the key says so until it is done, and it is audited."""
    made = await make(operator)
    await operator.post(f"{KEYS}/{made['id']}/revoke", json={})
    answer = await operator.post(f"{KEYS}/{made['id']}/revoke", json={"cancel_queued": True})
    assert answer.json()["cancels_jobs"] is True
    [entry, _] = await audited(operator, subject=made["id"], action="key.revoke")
    assert (entry["before"], entry["after"]) == ({"cancels_jobs": False}, {"cancels_jobs": True})


@pytest.mark.parametrize("key_id", ["a1B2c3D4e5F6", "nothing", "%00", "..", "a b"])
@pytest.mark.parametrize("act", ["rotate", "revoke"])
async def test_an_unknown_key_is_not_found(operator: httpx2.AsyncClient, key_id: str, act: str) -> None:
    """Whatever its id looks like."""
    response = await operator.post(f"{KEYS}/{key_id}/{act}", json={})
    assert refusal(response) == (404, "not_found", None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scope": "root"}, "scope"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"tenant": "No Such"}, "tenant"),
        ({"tenant": "shop\n"}, "tenant"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 3651}, "expires_in_days"),
        ({"reason": ""}, "reason"),
        ({"reason": "a\x00b"}, "reason"),
        ({"owner": "me"}, "owner"),
    ],
)
async def test_a_wrong_body_makes_no_key(operator: httpx2.AsyncClient, body: dict[str, Any], field: str) -> None:
    """The problem names the field."""
    assert refusal(await operator.post(KEYS, json=NEW | body)) == (422, "invalid_request", field)
    assert await listed(operator, tenant="shop") == []


async def test_a_name_that_a_terminal_would_obey_is_refused(operator: httpx2.AsyncClient) -> None:
    """Such as one that turns the direction of text."""
    assert refusal(await operator.post(KEYS, json=NEW | {"name": "a\u202eb"})) == (422, "invalid_request", None)


@pytest.mark.parametrize(
    "query", [{"cursor": "a\x00"}, {"cursor": "é"}, {"limit": "0"}, {"scope": "root"}, {"key": "x"}, {"id": "a b"}]
)
async def test_a_wrong_query_is_refused(operator: httpx2.AsyncClient, query: dict[str, str]) -> None:
    """Unknown, malformed or out of bounds."""
    response = await operator.get(KEYS, params=query)
    assert refusal(response)[:2] == (422, "invalid_request")
    response = await operator.get("/v1/operations/audit", params=query)
    assert refusal(response)[:2] == (422, "invalid_request")


async def test_an_observer_lists_and_reads_and_does_nothing(
    operator: httpx2.AsyncClient, observer: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """Neither does a client look."""
    made = await make(operator)
    acts = [(KEYS, NEW), (f"{KEYS}/{made['id']}/rotate", {}), (f"{KEYS}/{made['id']}/revoke", {})]
    assert len(await listed(observer)) == 4
    assert [entry["action"] for entry in await audited(observer)] == ["key.create"]
    for path, body in acts:
        assert refusal(await observer.post(path, json=body))[0] == 403
        assert refusal(await client.post(path, json=body))[0] == 403
    assert refusal(await client.get(KEYS))[0] == 403
    assert refusal(await client.get("/v1/operations/audit"))[0] == 403


async def test_two_operators_who_rotate_at_once_make_one_key(api: Api, rows: asyncpg.Connection) -> None:
    """The second is refused with the name of the successor."""
    key = await insert_key(rows, "shop")
    async with api.client("operators", Scope.OPERATOR) as one, api.client("operators", Scope.OPERATOR) as two:
        answers = await asyncio.gather(*(http.post(f"{KEYS}/{key.id}/rotate", json={}) for http in (one, two)))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert (
        await rows.fetchval("SELECT count(*) FROM api_keys JOIN tenants t ON t.id = tenant_id WHERE t.name = 'shop'")
        == 2
    )
