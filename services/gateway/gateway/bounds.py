"""The bounds of the model catalogue and of webhooks on a request. What they refuse is a 422 that names the field."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from chassis.decoding import invalid
from chassis.targets import Policy, TargetRefusedError, parse_target
from darkroom_contracts.api import MAX_SEED, JobInput, JobInputRequest
from darkroom_contracts.models import Catalogue, Model, OutOfBoundsError, UnknownModelError


def find_model(catalogue: Catalogue, name: str | None) -> Model:
    """Return the model, or the default model for None. Raises ProblemError."""
    try:
        return catalogue.find(name)
    except UnknownModelError as error:
        raise invalid("model", str(error)) from error


def resolve_input(model: Model, request: JobInputRequest) -> JobInput:
    """Return the input with the model's defaults and, unless it has one, a random seed. Raises ProblemError."""
    with _refusals():
        return model.resolve(request, seed=secrets.randbelow(MAX_SEED + 1))


def check_input(model: Model, wanted: JobInput) -> None:
    """Check an input that was accepted earlier: the bounds may be narrower now. Raises ProblemError."""
    with _refusals():
        model.check(wanted)


def check_webhook_url(policy: Policy, url: str | None) -> None:
    """Check the URL's spelling and the address in it; a host name's addresses are checked at each delivery.

    Raises ProblemError.
    """
    try:
        if url is not None:
            parse_target(url, policy)
    except TargetRefusedError as error:
        raise invalid("webhook_url", str(error)) from error


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OutOfBoundsError as error:
        raise invalid(f"input.{error.field}", str(error)) from error
