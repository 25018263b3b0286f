"""Refusals of a submission before anything is recorded."""

import json
from typing import Any
from unittest.mock import AsyncMock, sentinel
from uuid import UUID

import pytest
from msgspec.structs import replace

from chassis.auth import Caller
from chassis.problems import ProblemError
from chassis.targets import Policy
from darkroom_contracts.api import Scope
from darkroom_contracts.models import Catalogue, Model, Range
from gateway.recording import Recorder
from gateway.submit import SubmitJob

SIDE = Range(64, 512, 64)
SIZED = Model("sized", "sized", ("ddim",), SIDE, SIDE, Range(1, 50, 20), Range(0, 20, 7.5), 4, 10_000_000)
CALLER = Caller(UUID(int=1), "key", Scope.CLIENT)
RECORDER = Recorder(sentinel.store, sentinel.committer, sentinel.admission, sentinel.on_queued)
"""Can record nothing: a refusal comes before."""


@pytest.mark.parametrize(
    ("wanted", "field", "other"),
    [
        ({"width": 128, "height": 64}, "input.width", "height 64"),
        ({"width": 64, "height": 512}, "input.height", "width 64"),
    ],
)
async def test_a_size_that_is_not_listed(wanted: dict[str, Any], field: str, other: str) -> None:
    """A size that the model does not list is a 422 with the field and the allowed sizes."""
    catalogue = Catalogue((replace(SIZED, sizes=("64x64", "64x128")),))
    submit = SubmitJob(catalogue, RECORDER, Policy())
    body = json.dumps({"input": {"prompt": "x", **wanted}}).encode()
    with pytest.raises(ProblemError) as refused:
        await submit(CALLER, body, None, "")
    assert (refused.value.problem.status, refused.value.problem.field) == (422, field)
    assert refused.value.problem.detail == (
        f"{field} cannot be combined with {other}: sized renders 64x64, 64x128 (width x height)."
    )


async def refusal_of(url: str, policy: Policy) -> str:
    """Return the problem of a submission with this webhook URL."""
    submit = SubmitJob(Catalogue((SIZED,)), RECORDER, policy)
    body = json.dumps({"input": {"prompt": "x"}, "webhook_url": url}).encode()
    with pytest.raises(ProblemError) as refused:
        await submit(CALLER, body, None, "")
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "webhook_url")
    return str(refused.value.problem.detail)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1/hook", "must not name an address of the loopback (RFC 1122)."),
        ("https://169.254.169.254/", "must not name an address of a cloud's metadata service"),
        ("https://[fd00:ec2::254]/", "must not name an address of a cloud's metadata service"),
        ("https://0x7f.1/", "must write an IPv4 address as four decimal numbers without leading zeros."),
        ("https://[::ffff:127.0.0.1]/", "must not have an IPv6 address with an IPv4 address in it."),
        ("https://example.com:8443/", "must not name port 8443; allowed: 443."),
        ("https://example.com\\.evil.test/", "must not hold a backslash"),
        ("http://example.com/", "must begin with https://"),
        ("ftp://example.com/", "must be an http or https URL"),
    ],
)
async def test_a_webhook_url_that_leads_elsewhere(url: str, why: str) -> None:
    """A webhook URL with an address that is not public, or spelled oddly, is a 422 that names the field."""
    assert (await refusal_of(url, Policy())).startswith(f"webhook_url {why}")


async def test_a_webhook_url_that_the_operator_allows() -> None:
    """What the settings allow is recorded; its neighbours are refused."""
    recorder = AsyncMock()
    submit = SubmitJob(Catalogue((SIZED,)), recorder, Policy.of(["127.0.0.1"]))
    body = json.dumps({"input": {"prompt": "x"}, "webhook_url": "http://127.0.0.1:9000/hook"}).encode()
    await submit(CALLER, body, None, "")
    assert recorder.record.await_args.args[0].webhook_url == "http://127.0.0.1:9000/hook"
    assert "the loopback" in await refusal_of("https://127.0.0.2/", Policy.of(["127.0.0.1"]))
