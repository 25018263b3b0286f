"""Provenance stored on the job and in each picture."""

from darkroom_contracts.api import JobInput, PictureReceipt, Receipt
from darkroom_contracts.objects import StoredOutput
from darkroom_contracts.pictures import Origin
from gpu_consumer.protocol import Picture, Ready, Rendered


def origin_of(ready: Ready, made: Picture) -> Origin:
    """What shaped a picture's pixels besides the input."""
    return Origin(
        model_revision=ready.model_revision,
        dtype=ready.dtype,
        device=ready.device,
        versions=ready.versions,
        tiled=made.tiled,
        vae_dtype=made.vae_dtype,
        batch_size=made.batch_size,
        execution=ready.execution,
    )


def receipt_of(ready: Ready, wanted: JobInput, rendered: Rendered, outputs: tuple[StoredOutput, ...]) -> Receipt:
    """`ready` is the word of the process that rendered."""
    return Receipt(
        model_revision=ready.model_revision,
        scheduler=wanted.scheduler,
        dtype=ready.dtype,
        device=ready.device,
        versions=ready.versions,
        manifest_sha256=ready.manifest_sha256,
        batch_size=rendered.batch_size,
        tiled=rendered.tiled,
        vae_dtype=rendered.vae_dtype,
        execution=ready.execution,
        pictures=[PictureReceipt(output.seed, output.sha256) for output in outputs],
    )
