"""The model catalogue's bounds on a request. What they refuse is a 422 that names the field."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from darkroom_contracts.api import MAX_SEED, JobInput, JobInputRequest
from darkroom_contracts.models import Catalogue, Model, OutOfBoundsError, UnknownModelError
from gateway.decoding import invalid


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


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OutOfBoundsError as error:
        raise invalid(f"input.{error.field}", str(error)) from error
