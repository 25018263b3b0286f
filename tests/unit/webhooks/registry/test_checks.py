"""What an endpoint may be set to, beyond the types of its fields."""

from collections.abc import Callable
from functools import partial

import pytest

from chassis.problems import ProblemError
from chassis.targets import Policy
from darkroom_contracts.api.webhook_endpoints import MAX_HEADER_BYTES
from darkroom_contracts.states import EndpointAudience
from darkroom_contracts.webhooks import TERMINAL_EVENTS, TEST_EVENT, OperatorEvent, WebhookEvent
from tests.support.deliveries import delivery
from webhooks.dispatch.signing import signed_headers
from webhooks.registry.checks import (
    DEFAULT_EVENTS,
    EVENTS,
    check_events,
    check_headers,
    check_metadata_filter,
    check_url,
)
from webhooks.secrets import MasterKeys

KEYS = MasterKeys([f"first:{'a1' * 32}"])
CLIENT, OPERATOR = EndpointAudience.CLIENT, EndpointAudience.OPERATOR
HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade")


def refused(check: Callable[[], object]) -> str | None:
    """Return the field that a check refuses."""
    with pytest.raises(ProblemError) as caught:
        check()
    assert (caught.value.problem.status, caught.value.problem.code) == (422, "invalid_request")
    return caught.value.problem.field or None


@pytest.mark.parametrize(
    "name", [*sorted(HOP_BY_HOP), "Host", "Expect", "User-Agent", "Accept-Encoding", "HTTP2-Settings"]
)
def test_headers_of_the_connection_are_refused(name: str) -> None:
    """In any spelling that a receiver may take for it, and without a word about the value."""
    for spelling in (name, name.lower(), name.upper(), name.replace("-", "_")):
        assert refused(partial(check_headers, {spelling: "v"})) == f"headers.{spelling}"


@pytest.mark.parametrize("name", [*signed_headers(delivery(), KEYS), "content-anything", "webhook-anything"])
def test_headers_that_the_service_sets_are_refused(name: str) -> None:
    """All that an attempt has, and whatever else is about the content or the signature."""
    for spelling in (name, name.replace("-", "_")):
        assert refused(partial(check_headers, {spelling: "v"})) == f"headers.{spelling}"
    assert check_headers({"x_shop": "v"}) == {"x_shop": "v"}


def test_the_sizes_add_up() -> None:
    """Names and values count, and the bound is inclusive."""
    value = "v" * (MAX_HEADER_BYTES - 3)
    assert check_headers({"X-A": value}) == {"x-a": value}
    assert refused(lambda: check_headers({"X-A": value + "v"})) == "headers"
    assert check_headers({}) == {}


def test_every_event_has_an_audience() -> None:
    """Clients receive jobs, operators what happens to the service; nobody asks for the test event."""
    assert {CLIENT: tuple(WebhookEvent), OPERATOR: tuple(OperatorEvent)} == EVENTS
    assert {CLIENT: TERMINAL_EVENTS, OPERATOR: tuple(OperatorEvent)} == DEFAULT_EVENTS
    for audience, other in ((CLIENT, OPERATOR), (OPERATOR, CLIENT)):
        assert check_events([*EVENTS[audience], EVENTS[audience][0]], audience) == EVENTS[audience]
        for wrong in (*EVENTS[other], TEST_EVENT):
            assert refused(partial(check_events, [wrong], audience)) == "events[0]"


def test_operators_have_no_metadata() -> None:
    """Their filter is empty."""
    check_metadata_filter({"a": "b"}, CLIENT)
    check_metadata_filter({}, OPERATOR)
    assert refused(lambda: check_metadata_filter({"a": "b"}, OPERATOR)) == "metadata_filter"


def test_a_url_is_held_to_the_policy() -> None:
    """As that of a submission is."""
    check_url("https://example.com/hook", Policy())
    check_url("http://127.0.0.1:8400/", Policy.of(["127.0.0.1"]))
    for wrong in ("http://127.0.0.1:8400/", "https://[::1]/", "https://example.com:8443/", "https://0x7f.1/"):
        assert refused(partial(check_url, wrong, Policy())) == "url"
