"""What is told of how pictures were made: on the job's record, and inside the pictures."""

from contracts.api import JobInput, PictureReceipt, Receipt
from contracts.objects import StoredOutput
from contracts.pictures import Origin
from gpu_consumer.render.protocol import Picture, Ready, Rendered


def origin_of(ready: Ready, made: Picture | Rendered) -> Origin:
    """As far as it shows in the pixels."""
    return Origin(
        model_revision=ready.model_revision,
        dtype=ready.dtype,
        device=ready.device,
        versions=ready.versions,
        tiled=made.tiled,
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
        pictures=[PictureReceipt(output.seed, output.sha256) for output in outputs],
    )
