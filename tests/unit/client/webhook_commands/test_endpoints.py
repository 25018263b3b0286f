import json
from typing import Any

import httpx2
import pytest

from darkroom_contracts.api.webhook_endpoints import WebhookEndpointList
from darkroom_contracts.states import EndpointStatus
from darkroom_contracts.webhooks import TERMINAL_EVENTS
from tests.support.webhooks import SECRET
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.webhook_answers import AT, ENDPOINT_ID, URL, endpoint, endpoint_with_secret, stats
from tests.unit.client.webhook_commands.runner import Commands


def body(script: Script) -> Any:
    return json.loads(script.requests[-1].content)


def test_a_list_names_the_implicit_endpoint(webhooks: Commands) -> None:
    """Each line has the id, the URL, the status and the events; the implicit endpoint has a phrase for its URL."""
    implicit = endpoint(implicit=True, url=None, events=[])
    script = Script(reply(WebhookEndpointList([implicit, endpoint(status=EndpointStatus.PAUSED)])))
    first, second = webhooks.run(script, "endpoints", "list").stdout.splitlines()[1:]
    assert "implicit: the job's" in first
    assert [word in second for word in (str(ENDPOINT_ID), URL, "paused", "job.succeeded, job.failed", "the shop")] == [
        True
    ] * 5


def test_a_list_is_short(webhooks: Commands) -> None:
    """The default events are a phrase, and a failing endpoint is marked."""
    found = [endpoint(events=list(TERMINAL_EVENTS), failing_since=AT), endpoint(status=EndpointStatus.DISABLED)]
    shown = webhooks.run(Script(reply(WebhookEndpointList(found))), "endpoints", "list").stdout.splitlines()
    assert ("enabled, failing  all but job.started" in shown[1], "disabled " in shown[2]) == (True, True)


def test_an_empty_list_says_what_to_do(webhooks: Commands) -> None:
    """Operators may have none."""
    shown = webhooks.run(Script(reply(WebhookEndpointList([]))), "endpoints", "list").stdout
    assert shown == "There are no endpoints; `darkroom webhooks endpoints create URL` makes one.\n"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_endpoint_is_shown_without_its_secret(webhooks: Commands, options: tuple[str, ...]) -> None:
    """Neither for people nor for programs: `secret show` prints it."""
    shown = webhooks.run(Script(reply(endpoint_with_secret())), "endpoints", "show", ENDPOINT_ID, *options).stdout
    assert (URL in shown, "authorization" in shown) == (True, True)
    assert SECRET not in shown
    assert "secret" not in (json.loads(shown) if options else ())


def test_what_is_wrong_with_an_endpoint_is_shown(webhooks: Commands) -> None:
    """Why it is disabled, since when it fails, and that a rotation is under way."""
    ill = endpoint_with_secret(
        status=EndpointStatus.DISABLED,
        disabled_reason="The receiver is gone.",
        failing_since=AT,
        previous_secret_until=AT,
    )
    shown = webhooks.run(Script(reply(ill)), "endpoints", "show", ENDPOINT_ID).stdout
    assert "disabled: The receiver is gone." in shown
    assert "signs too until 2026-11-21 12:00:00Z" in shown


def test_a_creation_prints_the_secret(webhooks: Commands) -> None:
    """Options become fields of the request; the secret and the public key are printed once."""
    script = Script(reply(endpoint_with_secret(public_key="whpk_x", ed25519=True), 201))
    events = ("--event", "job.failed", "--event", "job.started")
    filters = ("--metadata", "order=7", "--metadata", "shop=a")
    more = ("--description", "the shop", "--header", "X-Key=a=b", "--ed25519")
    result = webhooks.run(script, "endpoints", "create", URL, *events, *filters, *more)
    assert (result.exit_code, SECRET in result.stdout, "whpk_x" in result.stdout) == (0, True, True)
    assert f"`darkroom webhooks endpoints test {ENDPOINT_ID}` tries it" in result.stderr
    assert body(script) == {
        "url": URL,
        "description": "the shop",
        "events": ["job.failed", "job.started"],
        "metadata_filter": {"order": "7", "shop": "a"},
        "headers": {"X-Key": "a=b"},
        "ed25519": True,
        "audience": "client",
    }


def test_programs_get_the_created_endpoint(webhooks: Commands) -> None:
    """With `--json` stdout has the endpoint with its secret, and nothing else is printed."""
    result = webhooks.run(Script(reply(endpoint_with_secret(), 201)), "endpoints", "create", URL, "--json")
    assert (json.loads(result.stdout)["secret"], result.stderr) == (SECRET, "")


def test_operators_have_endpoints_of_their_own(webhooks: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--operator` uses the other key and names the audience, in lists too."""
    monkeypatch.setenv("DARKROOM_OPERATOR_KEY", "dk_operator_key")
    script = Script(reply(endpoint_with_secret(), 201), reply(WebhookEndpointList([])))
    webhooks.run(script, "endpoints", "create", URL, "--operator")
    assert body(script)["audience"] == "operator"
    webhooks.run(script, "endpoints", "list", "--operator")
    assert script.requests[1].url.query == b"audience=operator"


def test_a_missing_operator_s_key_is_named(webhooks: Commands) -> None:
    """The command says which variable to set."""
    result = webhooks.run(Script(), "endpoints", "list", "--operator")
    assert (result.exit_code, "Set DARKROOM_URL and DARKROOM_OPERATOR_KEY." in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        (("--url", "https://other/"), {"url": "https://other/"}),
        (("--description", ""), {"description": ""}),
        (("--event", "job.failed"), {"events": ["job.failed"]}),
        (("--metadata", "a=b"), {"metadata_filter": {"a": "b"}}),
        (("--any-metadata",), {"metadata_filter": {}}),
        (("--header", "X-A=b"), {"headers": {"X-A": "b"}}),
        (("--no-headers",), {"headers": {}}),
        (("--ed25519",), {"ed25519": True}),
        (("--no-ed25519",), {"ed25519": False}),
    ],
)
def test_an_update_sends_what_is_given(webhooks: Commands, options: tuple[str, ...], change: dict[str, Any]) -> None:
    """All other fields stay as they are."""
    script = Script(reply(endpoint()))
    assert webhooks.run(script, "endpoints", "update", ENDPOINT_ID, *options).exit_code == 0
    assert body(script) == change


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "Nothing is to be changed"),
        (("--header", "a=b", "--no-headers"), "--header and --no-headers exclude each other"),
        (("--metadata", "a=b", "--any-metadata"), "--metadata and --any-metadata exclude each other"),
    ],
)
def test_an_update_that_contradicts_itself_is_refused(
    webhooks: Commands, options: tuple[str, ...], message: str
) -> None:
    """Before a request is sent."""
    result = webhooks.run(Script(), "endpoints", "update", ENDPOINT_ID, *options)
    assert (result.exit_code, message in result.stderr) == (1, True)


def test_pausing_and_resuming_say_what_follows(webhooks: Commands) -> None:
    """Both name the command that undoes it or catches up."""
    script = Script(reply(endpoint(status=EndpointStatus.PAUSED)), reply(endpoint()))
    assert f"resume {ENDPOINT_ID}`" in webhooks.run(script, "endpoints", "pause", ENDPOINT_ID).stdout
    assert "is enabled" in webhooks.run(script, "endpoints", "resume", ENDPOINT_ID).stdout


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_programs_get_the_changed_endpoint(webhooks: Commands, act: str) -> None:
    """`--json` prints the endpoint."""
    shown = webhooks.run(Script(reply(endpoint())), "endpoints", act, "implicit", "--json").stdout
    assert json.loads(shown)["id"] == str(ENDPOINT_ID)


@pytest.mark.parametrize(("options", "stdin"), [(("--yes",), None), ((), "y\n")])
def test_a_deletion_is_confirmed(webhooks: Commands, options: tuple[str, ...], stdin: str | None) -> None:
    """By an option, or by an answer."""
    script = Script(httpx2.Response(204))
    result = webhooks.run(script, "endpoints", "delete", ENDPOINT_ID, *options, stdin=stdin)
    assert (result.exit_code, script.requests[0].method) == (0, "DELETE")
    assert result.stdout.endswith(f"Endpoint {ENDPOINT_ID} is deleted.\n")


@pytest.mark.parametrize("stdin", ["n\n", ""])
def test_a_deletion_without_a_confirmation_deletes_nothing(webhooks: Commands, stdin: str) -> None:
    """A no and the end of the input say how to confirm."""
    result = webhooks.run(Script(), "endpoints", "delete", ENDPOINT_ID, stdin=stdin)
    assert (result.exit_code, "Nothing was deleted; --yes deletes" in result.stderr) == (1, True)


def test_statistics_are_shown_in_words(webhooks: Commands) -> None:
    """Counts, the share of successes and percentiles, each with its unit."""
    shown = webhooks.run(Script(reply(stats())), "endpoints", "stats", "implicit").stdout
    assert "1,200 succeeded, 3 failed" in shown
    assert "99.8 %" in shown
    assert "12.5 ms at the median, 1,234.5 ms at p95" in shown


def test_statistics_of_nothing_are_unknown(webhooks: Commands) -> None:
    """An endpoint without deliveries has no figures."""
    nothing = dict.fromkeys(("success_share", "delivery_ms_p50", "delivery_ms_p95", "attempt_ms_p50", "attempt_ms_p95"))
    found = stats(deliveries={}, attempts={}, **nothing)
    lines = webhooks.run(Script(reply(found)), "endpoints", "stats", "implicit").stdout.splitlines()
    assert [line.split("  ")[-1].strip() for line in lines[1:]] == ["-"] * 6


def test_programs_get_the_statistics(webhooks: Commands) -> None:
    """`--json` prints them as the API returns them."""
    shown = webhooks.run(Script(reply(stats())), "endpoints", "stats", "implicit", "--json").stdout
    assert json.loads(shown)["success_share"] == 0.9975


def test_an_id_that_is_none_is_refused(webhooks: Commands) -> None:
    """The error says where the ids are."""
    result = webhooks.run(Script(), "endpoints", "show", "my-endpoint")
    assert (
        result.exit_code,
        "`darkroom webhooks endpoints list` shows the ids" in " ".join(result.stderr.split()),
    ) == (
        2,
        True,
    )


def test_a_refusal_of_the_api_is_one_sentence(webhooks: Commands) -> None:
    """The problem's detail is printed with its field."""
    refusal = problem(422, "invalid_request", "is not a public address", field="url")
    result = webhooks.run(Script(refusal), "endpoints", "create", "https://127.0.0.1/")
    assert (result.exit_code, result.stderr) == (1, "Error: url: is not a public address\n")
