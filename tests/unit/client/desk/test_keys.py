import json
from collections.abc import Callable

import httpx2
import pytest

from darkroom import Client, UnreachableError
from darkroom_contracts.api import Scope
from darkroom_contracts.api.keys import ApiKeyList, KeyStatus
from tests.unit.client.answers import Script, reply
from tests.unit.client.desk_answers import KEY_ID, key, new_key

PATH = "/v1/operations/keys"


def test_a_list_follows_its_pages() -> None:
    """Filters stay the same from page to page."""
    script = Script(reply(ApiKeyList([key()], "next")), reply(ApiKeyList([key(), key()])))
    found = script.client().keys.list(
        key_id=KEY_ID, tenant="shop", scope=Scope.CLIENT, status=KeyStatus.EXPIRING, expiring_within_days=3
    )
    assert len(list(found)) == 3
    filters = {"id": KEY_ID, "tenant": "shop", "scope": "client", "status": "expiring", "expiring_within_days": "3"}
    first, second = (dict(request.url.params) for request in script.requests)
    assert first == {**filters, "limit": "200"}
    assert second == {**first, "cursor": "next"}


def test_a_key_is_made_rotated_and_revoked() -> None:
    """Each request has what was asked for, and the API's defaults for the rest."""
    script = Script(reply(new_key(), 201), reply(new_key(), 201), reply(key(status=KeyStatus.REVOKED)))
    keys = script.client().keys
    assert keys.create(Scope.CLIENT, "web shop", tenant="shop", expires_in_days=90).key == new_key().key
    keys.rotate(KEY_ID, overlap_hours=2, reason="yearly")
    assert keys.revoke(KEY_ID, cancel_queued=True, reason="leaked").status == KeyStatus.REVOKED
    assert [request.url.path for request in script.requests] == [
        PATH,
        f"{PATH}/{KEY_ID}/rotate",
        f"{PATH}/{KEY_ID}/revoke",
    ]
    made, rotated, revoked = (json.loads(request.content) for request in script.requests)
    assert {name: value for name, value in made.items() if value is not None} == {
        "scope": "client",
        "name": "web shop",
        "tenant": "shop",
        "expires_in_days": 90,
    }
    assert (rotated["overlap_hours"], rotated["reason"]) == (2, "yearly")
    assert revoked == {"cancel_queued": True, "reason": "leaked"}


@pytest.mark.parametrize(
    "act", [lambda client: client.keys.create(Scope.CLIENT, "x"), lambda client: client.keys.rotate(KEY_ID)]
)
def test_no_key_is_made_twice(act: Callable[[Client], object]) -> None:
    """A response that is lost may have held a key, so the request is not repeated."""
    script = Script(httpx2.ReadTimeout("slow"))
    with pytest.raises(UnreachableError, match="may have been carried out"):
        act(script.client())
    assert len(script.requests) == 1
