"""Renders a picture again, and compares.

from darkroom.verification import verify

with Client(url, key) as darkroom:
    found = verify(darkroom, Path("lighthouse.png").read_bytes())
    assert found.verdict == "identical", found.differences
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal
from uuid import UUID

import msgspec

from darkroom import picture_files
from darkroom.client import Client
from darkroom.errors import DarkroomError, NotVerifiableError
from darkroom_contracts.api import Execution, Job, Receipt
from darkroom_contracts.pictures import Origin, Picture
from darkroom_contracts.states import JobStatus

_EXECUTION = {
    "layout": "layout",
    "compiled": "compilation",
    "cuda_graphs": "CUDA graphs",
    "attention": "attention",
    "tf32_convolutions": "TF32 convolutions",
    "tf32_products": "TF32 matrix products",
    "cpu_capability": "CPU capability",
    "cpu_threads": "CPU threads",
}
"""Field of Execution -> what people read."""

Verdict = Literal["identical", "same_pixels", "different"]


class Changed(msgspec.Struct, frozen=True):
    """Something that shapes a picture and is not what it was when the picture was made."""

    name: str
    then: str
    now: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """How the picture and the one that was rendered from its parameters compare."""

    verdict: Verdict
    """`identical`: the same bytes. `same_pixels`: another file of the same pixels. `different`: other pixels."""
    job_id: UUID
    """The job that rendered it again."""
    picture: Picture
    """What the picture tells of its making."""
    pixels: int
    differing_pixels: int
    largest_difference: int
    """Of one channel of one pixel, of 255."""
    changed: list[Changed]
    """What may explain a difference; empty too where the picture does not tell what rendered it."""


def verify(
    client: Client,
    data: bytes,
    *,
    timeout_seconds: float | None = None,
    on_look: Callable[[Job], None] | None = None,
) -> Verification:
    """Render the picture in `data`, a PNG, JPEG or WebP file, again by itself and compare.

    Raises NotVerifiableError, and what Client.submit, wait and download raise. `on_look` is told each state of the
    job that is seen.
    """
    told = picture_files.read(data)
    job = client.submit(model=told.model, **msgspec.structs.asdict(told.input))
    try:
        job = client.wait(job.id, timeout_seconds=timeout_seconds, on_look=on_look)
    except KeyboardInterrupt:
        with suppress(DarkroomError):  # of use to nobody now
            client.cancel(job.id)
        raise
    if job.status != JobStatus.SUCCEEDED:
        raise NotVerifiableError(f"The picture could not be rendered again: job {job.id} is {job.status}{_reason(job)}")
    again = client.download(job.outputs[0])
    difference = picture_files.compare(data, again)
    return Verification(
        verdict="identical" if again == data else "different" if difference.differing else "same_pixels",
        job_id=job.id,
        picture=told,
        pixels=difference.pixels,
        differing_pixels=difference.differing,
        largest_difference=difference.largest,
        changed=list(_changed(told.origin, job.receipt)),
    )


def _reason(job: Job) -> str:
    return f": {job.error.message} ({job.error.code})" if job.error else "."


def _changed(then: Origin | None, now: Receipt | None) -> Iterator[Changed]:
    if then is None or now is None:
        return
    before, after = ({**_flat(made), **made.versions} for made in (then, now))
    for name in sorted(before.keys() | after.keys()):
        old, new = (values.get(name, "none") for values in (before, after))
        if old is not None and new is not None and old != new:
            yield Changed(name, old, new)


def _flat(made: Origin | Receipt) -> dict[str, str | None]:
    """What shaped the pixels, by the names that people read; None where it is unknown."""
    return {
        "model revision": made.model_revision,
        "dtype": made.dtype,
        "device": made.device,
        "decoded": "in tiles" if made.tiled else "whole",
        "VAE dtype": made.vae_dtype,
        "pictures in its batch": None if made.batch_size is None else str(made.batch_size),
    } | _executed(made.execution)


def _executed(execution: Execution | None) -> dict[str, str | None]:
    if execution is None:
        return dict.fromkeys(_EXECUTION.values())
    told = msgspec.structs.asdict(execution)
    return {words: _words(told[name]) for name, words in _EXECUTION.items()}


def _words(value: Any) -> str:
    """A value that people read: of a yes or no, of a list, of a count or none, or of a name."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
