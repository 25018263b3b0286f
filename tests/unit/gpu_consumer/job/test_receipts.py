"""Provenance stored on the job and in each picture."""

from darkroom_contracts.api import PictureReceipt, Receipt
from darkroom_contracts.objects import StoredOutput
from gpu_consumer.job.receipts import origin_of, receipt_of
from gpu_consumer.protocol import RenderedImage
from tests.support.models import execution, job_input, picture, ready, rendered

EXECUTION = execution(layout="channels_last", cuda_graphs=True, cpu_threads=None)
READY = ready(device="NVIDIA H200", dtype="float16", manifest_sha256="ab" * 32, execution=EXECUTION)
OUTPUTS = tuple(StoredOutput(index, "key", "image/png", 64, 64, 9, f"{index}" * 64, 7 + index) for index in range(2))


def test_a_receipt_has_all_that_shows_in_the_pictures() -> None:
    """Model, manifest, scheduler, precisions, device, versions, how they computed, batch, tiles, and the pictures."""
    made = rendered(batch_size=2, tiled=True, vae_dtype="float32")
    receipt = receipt_of(READY, job_input(scheduler="heun"), made, OUTPUTS)
    assert receipt == Receipt(
        model_revision="sha256:0123456789abcdef",
        scheduler="heun",
        dtype="float16",
        device="NVIDIA H200",
        versions={"torch": "2"},
        manifest_sha256="ab" * 32,
        batch_size=2,
        tiled=True,
        vae_dtype="float32",
        execution=EXECUTION,
        pictures=[PictureReceipt(7, "0" * 64), PictureReceipt(8, "1" * 64)],
    )


def test_a_picture_s_origin_is_the_process_that_rendered_it() -> None:
    """And the picture's own batch, tiles and precision."""
    made = picture(RenderedImage(1, 1, 7, b"rgb"), batch_size=4, tiled=True, vae_dtype="float32")
    origin = origin_of(READY, made)
    assert (origin.device, origin.dtype, origin.execution) == ("NVIDIA H200", "float16", EXECUTION)
    assert (origin.batch_size, origin.tiled, origin.vae_dtype) == (4, True, "float32")
