"""Render a picture again from its parameters, and compare the two.

from darkroom.verification import verify

with Client(url, key) as darkroom:
    found = verify(darkroom, Path("lighthouse.png").read_bytes())
    assert found.verdict == "identical", found.changed
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal
from uuid import UUID

import msgspec

from darkroom import picture_files
from darkroom.client import Client
from darkroom.errors import DarkroomError, NotVerifiableError, describe_end
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
"""Field of Execution -> its name for people."""

Verdict = Literal["identical", "same_pixels", "different"]


class Changed(msgspec.Struct, frozen=True):
    """A condition of rendering that differs from when the picture was made."""

    name: str
    then: str
    now: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Comparison of a picture with the one rendered from its parameters."""

    verdict: Verdict
    """`identical`: the same bytes. `same_pixels`: another file of the same pixels. `different`: other pixels."""
    job_id: UUID
    """The job that rendered the picture again."""
    picture: Picture
    """Parameters and origin stored in the picture."""
    pixels: int
    differing_pixels: int
    largest_difference: int
    """Largest difference of one channel of one pixel, of 255."""
    changed: list[Changed]
    """What may explain a difference. Empty too if the picture does not record what rendered it."""


def verify(
    client: Client,
    data: bytes,
    *,
    timeout_seconds: float | None = None,
    on_look: Callable[[Job], None] | None = None,
) -> Verification:
    """Render the picture in `data`, a PNG, JPEG or WebP file, again as a job of its own, and compare.

    `on_look` is called with the job after every poll. A KeyboardInterrupt cancels the job. Raises NotVerifiableError,
    and the errors of Client.submit, wait and download.
    """
    picture = picture_files.read(data)
    job = client.submit(model=picture.model, **msgspec.structs.asdict(picture.input))
    try:
        job = client.wait(job.id, timeout_seconds=timeout_seconds, on_look=on_look)
    except KeyboardInterrupt:
        with suppress(DarkroomError):  # the caller needs the interrupt, not an error of the cancellation
            client.cancel(job.id)
        raise
    if job.status != JobStatus.SUCCEEDED:
        raise NotVerifiableError(f"The picture could not be rendered again. {describe_end(job)}")
    again = client.download(job.outputs[0])
    difference = picture_files.compare(data, again)
    return Verification(
        verdict="identical" if again == data else "different" if difference.differing else "same_pixels",
        job_id=job.id,
        picture=picture,
        pixels=difference.pixels,
        differing_pixels=difference.differing,
        largest_difference=difference.largest,
        changed=list(_changed(picture.origin, job.receipt)),
    )


def _changed(then: Origin | None, now: Receipt | None) -> Iterator[Changed]:
    if then is None or now is None:
        return
    before, after = ({**_flat(made), **made.versions} for made in (then, now))
    for name in sorted(before.keys() | after.keys()):
        old, new = (values.get(name, "none") for values in (before, after))
        if old is not None and new is not None and old != new:
            yield Changed(name, old, new)


def _flat(made: Origin | Receipt) -> dict[str, str | None]:
    """Return what shaped the pixels by its names for people; None where it is unknown."""
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
    values = msgspec.structs.asdict(execution)
    return {label: _text(values[name]) for name, label in _EXECUTION.items()}


def _text(value: Any) -> str:
    """Return a boolean, a list, a number, a name or None as people read it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
