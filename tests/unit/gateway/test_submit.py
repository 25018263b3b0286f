"""Refusals of a submission before anything is recorded."""

import json
from typing import Any
from unittest.mock import sentinel
from uuid import UUID

import pytest
from msgspec.structs import replace

from chassis.auth import Caller
from chassis.problems import ProblemError
from darkroom_contracts.api import Scope
from darkroom_contracts.models import Catalogue, Model, Range
from gateway.submit import SubmitJob

SIDE = Range(64, 512, 64)
SIZED = Model("sized", "sized", ("ddim",), SIDE, SIDE, Range(1, 50, 20), Range(0, 20, 7.5), 4, 10_000_000)
CALLER = Caller(UUID(int=1), "key", Scope.CLIENT)


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
    submit = SubmitJob(catalogue, sentinel.recorder)  # nothing can be recorded: a refusal comes before
    body = json.dumps({"input": {"prompt": "x", **wanted}}).encode()
    with pytest.raises(ProblemError) as refused:
        await submit(CALLER, body, None, "")
    assert (refused.value.problem.status, refused.value.problem.field) == (422, field)
    assert refused.value.problem.detail == (
        f"{field} cannot be combined with {other}: sized renders 64x64, 64x128 (width x height)."
    )
