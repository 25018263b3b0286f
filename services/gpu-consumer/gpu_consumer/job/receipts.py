"""The provenance stored on the job."""

from darkroom_contracts.api import JobInput, PictureReceipt, Receipt
from darkroom_contracts.objects import StoredOutput
from gpu_consumer.protocol import Ready, Rendered


def receipt_of(ready: Ready, wanted: JobInput, rendered: Rendered, outputs: tuple[StoredOutput, ...]) -> Receipt:
    """Return the receipt of a render. `ready` is the report of the process that rendered."""
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
