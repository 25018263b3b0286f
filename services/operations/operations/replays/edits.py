"""Edits of a job for its replay, held to the catalogue as a submission is."""

from collections.abc import Callable
from typing import Any

import msgspec

from chassis.targets import Policy
from darkroom_contracts.api import JobInput
from darkroom_contracts.api.replays import ReplayEdit
from darkroom_contracts.models import Catalogue, OutOfBoundsError, UnknownModelError
from operations.replays.outcome import UnfitEditError
from operations.replays.records import EditableJob, EditedJob

CatalogueLoader = Callable[[], Catalogue]
PUBLIC_TARGETS = Policy()


class Bounds(msgspec.Struct, frozen=True):
    """What jobs that are edited, or made again, must fit."""

    catalogue: CatalogueLoader
    """Called only when it is needed. Raises CatalogueError or SettingsError."""
    webhook_targets: Policy = PUBLIC_TARGETS


def edit_job(edit: ReplayEdit, job: EditableJob, catalogue: Catalogue) -> EditedJob:
    """Return the job's overrides with the edit, and what it then costs. Raises UnfitEditError."""
    overrides = _merged(job.overrides or {}, msgspec.to_builtins(edit))
    wanted = msgspec.convert(msgspec.to_builtins(job.input) | overrides.get("input", {}), JobInput)
    _check(overrides.get("model", job.model), wanted, catalogue)
    return EditedJob(overrides, wanted.cost)


def _merged(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    inputs = earlier.get("input", {}) | later.get("input", {})
    return earlier | later | ({"input": inputs} if inputs else {})


def _check(model: str, wanted: JobInput, catalogue: Catalogue) -> None:
    try:
        catalogue.find(model).check(wanted)
    except UnknownModelError as error:
        raise UnfitEditError(f"The edited job asks for the model {model}, which {error}.") from error
    except OutOfBoundsError as error:
        raise UnfitEditError(f"The edited job asks for {error.field} that {error}.") from error
