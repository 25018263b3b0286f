import json
from datetime import UTC, datetime, timedelta

import pytest

from darkroom_contracts.api.keys import ApiKeyList, KeyStatus
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.desk_answers import AT, HOSTILE, KEY_ID, key, new_key
from tests.unit.client.desk_commands.runner import Desk

SECRET = f"dk_client_{KEY_ID}_{'s' * 33}"
UNKNOWN = problem(404, "not_found", "There is no such key; `darkroom keys list` shows all.")


def listed(desk: Desk, *found: object) -> tuple[list[str], str]:
    result = desk.run(Script(reply({"keys": found})), "keys", "list")
    return result.stdout.splitlines(), result.stderr


def test_a_new_key_is_printed_once(desk: Desk) -> None:
    """On stdout; that it can't be shown again is on stderr. Every option reaches the request."""
    script = Script(reply(new_key(), 201))
    options = ("--scope", "client", "--name", "web shop", "--tenant", "shop", "--expires", "90d", "--reason", "new")
    result = desk.run(script, "keys", "create", *options)
    assert result.stdout.splitlines()[0].split() == ["key", new_key().key]
    assert "can't be shown again" in result.stderr
    assert json.loads(script.requests[0].content) == {
        "scope": "client",
        "name": "web shop",
        "tenant": "shop",
        "expires_in_days": 90,
        "reason": "new",
    }


def test_each_key_has_a_line(desk: Desk) -> None:
    """With what it may do, whose it is, whether it works, and when it was used."""
    lines, advice = listed(desk, key(), key(expires_at=AT, status=KeyStatus.EXPIRED, last_used_at=None))
    assert lines[0].split() == ["id", "scope", "tenant", "status", "expires", "last", "used", "name"]
    assert lines[1] == f"{KEY_ID}  client  shop    active   never       2026-11-21 13:00:00Z  web shop"
    assert lines[2] == f"{KEY_ID}  client  shop    expired  2026-11-21  never                 web shop"
    assert advice == ""


@pytest.mark.parametrize(
    ("left", "said"), [(timedelta(days=3, minutes=1), "expires in 3 d"), (timedelta(hours=5, minutes=1), "in 5 h")]
)
def test_a_key_that_expires_soon_is_marked(desk: Desk, left: timedelta, said: str) -> None:
    """With the time that is left, and how to make its successor."""
    lines, advice = listed(desk, key(status=KeyStatus.EXPIRING, expires_at=datetime.now(UTC) + left))
    assert said in lines[1]
    assert advice == f"Expiring within 14 days: {KEY_ID}; `darkroom keys rotate ID` makes a successor.\n"


def test_a_key_that_was_rotated_needs_no_advice(desk: Desk) -> None:
    """Its line names its successor."""
    soon = datetime.now(UTC) + timedelta(days=1)
    lines, advice = listed(desk, key(status=KeyStatus.EXPIRING, expires_at=soon, replaced_by="b1B2c3D4e5F6"))
    assert lines[2] == "  replaced by b1B2c3D4e5F6"
    assert advice == ""


def test_an_expired_key_that_is_still_sent_is_marked(desk: Desk) -> None:
    """For a day: somebody has not noticed."""
    used, long_ago = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) - timedelta(days=2)
    ended = datetime.now(UTC) - timedelta(days=5)
    late, past = (key(status=KeyStatus.EXPIRED, expires_at=ended, last_used_at=at) for at in (used, long_ago))
    lines, advice = listed(desk, late, past)
    assert ["expired, in use" in line for line in lines[1:]] == [True, False]
    assert advice.startswith(f"Refused because they expired, and still sent by somebody: {KEY_ID}; ")


def test_a_revoked_key_says_while_its_jobs_are_canceled(desk: Desk) -> None:
    """Afterwards it is revoked."""
    lines, _ = listed(desk, *(key(status=KeyStatus.REVOKED, cancels_jobs=cancels) for cancels in (True, False)))
    assert ["revoked, canceling" in line for line in lines[1:]] == [True, False]


def test_every_filter_reaches_the_request(desk: Desk) -> None:
    """Nothing found says how to make a key."""
    script = Script(reply(ApiKeyList([])))
    filters = ("--tenant", "shop", "--scope", "client", "--status", "expiring", "--expiring-within", "30d")
    result = desk.run(script, "keys", "list", *filters)
    assert result.stdout == "There are no such keys; `darkroom keys create` makes one.\n"
    assert dict(script.requests[0].url.params) == {
        "tenant": "shop",
        "scope": "client",
        "status": "expiring",
        "expiring_within_days": "30",
        "limit": "200",
    }


@pytest.mark.parametrize(
    ("options", "hours", "said"),
    [
        ((), 24, "is refused in 24 hours at the latest."),
        (("--overlap", "30m"), 0.5, "is refused in 0.5 hours at the latest."),
        (("--end-now",), 0, "is refused from now on."),
    ],
)
def test_a_rotation_says_how_long_the_old_key_works(
    desk: Desk, options: tuple[str, ...], hours: float, said: str
) -> None:
    """The new one is printed."""
    script = Script(reply(new_key(), 201))
    result = desk.run(script, "keys", "rotate", KEY_ID, *options)
    assert new_key().key in result.stdout
    assert result.stderr.endswith(f"The old key {KEY_ID} {said}\n")
    assert json.loads(script.requests[0].content)["overlap_hours"] == hours


@pytest.mark.parametrize("act", ["rotate", "revoke"])
def test_a_whole_key_is_named_by_its_id(desk: Desk, act: str) -> None:
    """Its secret is never sent: URLs are logged."""
    script = Script(reply(new_key() if act == "rotate" else key()))
    desk.run(script, "keys", act, SECRET)
    assert script.requests[0].url.path == f"/v1/operations/keys/{KEY_ID}/{act}"


def test_what_is_not_an_id_is_not_repeated(desk: Desk) -> None:
    """It may be a secret with a mistake."""
    result = desk.run(Script(), "keys", "revoke", f"{SECRET}!")
    assert (result.exit_code, "`darkroom keys list` shows all." in result.stderr) == (2, True)
    assert "sss" not in result.output


def test_a_revocation_is_carried_out_at_once(desk: Desk) -> None:
    """Where no job is canceled."""
    script = Script(reply(key(status=KeyStatus.REVOKED)))
    result = desk.run(script, "keys", "revoke", KEY_ID, "--reason", "leaked")
    assert result.stdout == f"Revoked key {KEY_ID} (web shop); it is refused within seconds.\n"
    assert json.loads(script.requests[0].content) == {"cancel_queued": False, "reason": "leaked"}


def test_canceling_jobs_is_confirmed_by_the_key_s_id(desk: Desk) -> None:
    """After it is said whose key it is, and what will happen."""
    script = Script(reply(ApiKeyList([key()])), reply(key(status=KeyStatus.REVOKED, cancels_jobs=True)))
    result = desk.run(script, "keys", "revoke", KEY_ID, "--cancel-queued", answer=KEY_ID)
    assert result.stderr.startswith(f"Key {KEY_ID} (client of the tenant shop, 'web shop', last used ")
    assert "Its jobs that have not ended will be canceled" in result.stderr
    assert "Its jobs are being canceled" in result.stdout
    assert dict(script.requests[0].url.params)["id"] == KEY_ID
    assert json.loads(script.requests[1].content) == {"cancel_queued": True, "reason": None}


@pytest.mark.parametrize("answer", ["", "yes", "other"])
def test_another_answer_revokes_nothing(desk: Desk, answer: str) -> None:
    """The key goes on."""
    script = Script(reply(ApiKeyList([key()])))
    result = desk.run(script, "keys", "revoke", KEY_ID, "--cancel-queued", answer=answer)
    assert (result.exit_code, "Nothing was done" in result.stderr) == (1, True)
    assert len(script.requests) == 1


def test_nothing_is_asked_for_where_nobody_can_answer(desk: Desk) -> None:
    """Not even the key; `--yes` does it."""
    script = Script()
    result = desk.run(script, "keys", "revoke", KEY_ID, "--cancel-queued")
    assert (result.exit_code, "give --yes" in result.stderr, script.requests) == (1, True, [])
    script = Script(reply(ApiKeyList([key()])), reply(key()))
    assert desk.run(script, "keys", "revoke", KEY_ID, "--cancel-queued", "--yes").exit_code == 0


def test_an_own_key_is_revoked_after_a_confirmation(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that the command uses it."""
    monkeypatch.setenv("DARKROOM_OPERATOR_KEY", SECRET)
    script = Script(reply(ApiKeyList([key()])), reply(key()))
    result = desk.run(script, "keys", "revoke", KEY_ID, answer=KEY_ID)
    assert "It is the key that this command uses (DARKROOM_OPERATOR_KEY)." in result.stderr
    assert json.loads(script.requests[1].content)["cancel_queued"] is False


def test_an_unknown_key_names_the_list(desk: Desk) -> None:
    """Before a question, and as the API says it."""
    asked = desk.run(Script(reply(ApiKeyList([]))), "keys", "revoke", "nothing", "--cancel-queued", answer="nothing")
    assert asked.stderr == "Error: There is no key nothing; `darkroom keys list` shows all.\n"
    for act in ("rotate", "revoke"):
        refused = desk.run(Script(UNKNOWN), "keys", act, "nothing")
        assert refused.stderr == "Error: There is no such key; `darkroom keys list` shows all.\n"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("create", "--scope", "client", "--name", "x"), new_key()),
        (("list",), ApiKeyList([key()])),
        (("rotate", KEY_ID), new_key()),
        (("revoke", KEY_ID), key()),
    ],
)
def test_programs_get_json_alone(desk: Desk, command: tuple[str, ...], answer: object) -> None:
    """Keys with their secrets where they are new; the list as a list."""
    result = desk.run(Script(reply(answer)), "keys", *command, "--json")
    assert json.loads(result.stdout)
    assert result.stderr == ""


def test_nothing_from_outside_reaches_the_terminal_raw(desk: Desk) -> None:
    """Names were given by others."""
    hostile = key(name=HOSTILE, tenant=HOSTILE, status=KeyStatus.REVOKED)
    asked = Script(reply(ApiKeyList([hostile])), reply(hostile))
    shown = (
        "".join(listed(desk, hostile)[0]) + desk.run(asked, "keys", "revoke", KEY_ID, "--cancel-queued", "--yes").output
    )
    assert not set(shown) & {"\x1b", "\u202e", "\x07"}
