"""The provenance written into each picture."""

from darkroom_contracts.pictures import Origin
from gpu_consumer.protocol import Picture, Ready


def origin_of(ready: Ready, made: Picture) -> Origin:
    """Return what shaped a picture's pixels besides the input."""
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
