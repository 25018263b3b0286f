"""What a batch of attempts shows of standing endpoints."""

from uuid import UUID, uuid4

import msgspec
import pytest

from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus
from tests.support.clocks import Clock
from tests.support.deliveries import endpoint
from webhooks.dispatch import failing as module
from webhooks.dispatch.failing import CONFIRMED_SECONDS, FailingEndpoints
from webhooks.dispatch.records import Completion, Endpoint, EndpointOutcome

STANDING = endpoint(implicit=False, url="https://example.com/hook")
FAILING = msgspec.structs.replace(STANDING, failing=True)


def completion(of: Endpoint, outcome: DeliveryOutcome, *, gone: bool = False) -> Completion:
    return Completion(
        id=uuid4(),
        endpoint=of,
        number=1,
        token=uuid4(),
        outcome=outcome,
        status=DeliveryStatus.PENDING,
        gone=gone,
        error=None if outcome is DeliveryOutcome.SUCCEEDED else f"It was {outcome}.",
    )


SUCCESS = completion(STANDING, DeliveryOutcome.SUCCEEDED)
FAILURE = completion(STANDING, DeliveryOutcome.FAILED)
RELEASE = completion(STANDING, DeliveryOutcome.RELEASED)


def noted(*completions: Completion, by: FailingEndpoints | None = None) -> list[EndpointOutcome]:
    return (by or FailingEndpoints()).outcomes_of(completions)


@pytest.mark.parametrize(
    "completions",
    [
        (),
        (SUCCESS,),
        (RELEASE,),
        (SUCCESS, FAILURE),
        (completion(endpoint(), DeliveryOutcome.FAILED), completion(endpoint(), DeliveryOutcome.FAILED, gone=True)),
    ],
)
def test_what_changes_nothing_is_not_noted(completions: tuple[Completion, ...]) -> None:
    """A success of an endpoint that works, what was not sent, and implicit endpoints."""
    assert noted(*completions) == []


def test_an_endpoint_is_noted_once() -> None:
    """With its last error."""
    other = completion(endpoint(implicit=False), DeliveryOutcome.FAILED)
    outcomes = noted(FAILURE, other, RELEASE, FAILURE)
    assert [outcome.endpoint_id for outcome in outcomes] == [STANDING.id, other.endpoint.id]
    assert (outcomes[0].works, outcomes[0].gone, outcomes[0].error) == (False, False, "It was failed.")


def test_each_url_is_noted_alone() -> None:
    """Of an endpoint that was moved while its deliveries were in flight."""
    moved = msgspec.structs.replace(STANDING, url="https://example.com/new")
    gone, failed = noted(
        completion(STANDING, DeliveryOutcome.FAILED, gone=True), completion(moved, DeliveryOutcome.FAILED)
    )
    assert (gone.endpoint_id, gone.url, gone.gone) == (STANDING.id, STANDING.url, True)
    assert (failed.endpoint_id, failed.url, failed.gone) == (STANDING.id, moved.url, False)


def test_one_success_ends_the_failures() -> None:
    """However many attempts failed beside it."""
    [outcome] = noted(completion(FAILING, DeliveryOutcome.SUCCEEDED), completion(FAILING, DeliveryOutcome.FAILED))
    assert (outcome.works, outcome.gone) == (True, False)


def test_a_receiver_that_is_gone_is_gone() -> None:
    """Even if another attempt succeeded before."""
    [outcome] = noted(SUCCESS, completion(STANDING, DeliveryOutcome.FAILED, gone=True))
    assert (outcome.works, outcome.gone) == (False, True)


def test_failures_are_confirmed_after_an_hour() -> None:
    """Of this process's own, without a success in between."""
    clock = Clock()
    seen = FailingEndpoints(clock)

    def confirmed(of: Completion = FAILURE) -> bool:
        [outcome] = noted(of, by=seen)
        return outcome.confirmed

    assert not confirmed()
    clock.seconds = CONFIRMED_SECONDS - 1
    assert not confirmed()
    clock.seconds = CONFIRMED_SECONDS
    assert confirmed()
    assert noted(SUCCESS, by=seen) == []
    assert not confirmed()


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint that was tried longest ago is forgotten."""
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    clock = Clock()
    seen = FailingEndpoints(clock)
    first, second, third = (
        completion(endpoint(id=UUID(int=n), implicit=False), DeliveryOutcome.FAILED) for n in (1, 2, 3)
    )
    for each in (first, second, first, third):
        noted(each, by=seen)
    clock.seconds = CONFIRMED_SECONDS
    assert [outcome.confirmed for each in (first, third, second) for outcome in noted(each, by=seen)] == [
        True,
        True,
        False,
    ]
