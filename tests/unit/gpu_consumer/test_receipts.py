"""What is told of how pictures were made."""

from contracts.api import PictureReceipt, Receipt
from contracts.objects import StoredOutput
from gpu_consumer.receipts import origin_of, receipt_of
from tests.support.models import job_input, ready, rendered

READY = ready(device="NVIDIA H200", dtype="float16", manifest_sha256="ab" * 32)
OUTPUTS = tuple(StoredOutput(index, "key", "image/png", 64, 64, 9, f"{index}" * 64, 7 + index) for index in range(2))


def test_a_receipt_has_all_that_shows_in_the_pictures() -> None:
    """Model, manifest, scheduler, precision, device, versions, batch, tiles, and each picture's seed and digest."""
    receipt = receipt_of(READY, job_input(scheduler="heun"), rendered(batch_size=2, tiled=True), OUTPUTS)
    assert receipt == Receipt(
        model_revision="sha256:0123456789abcdef",
        scheduler="heun",
        dtype="float16",
        device="NVIDIA H200",
        versions={"torch": "2"},
        manifest_sha256="ab" * 32,
        batch_size=2,
        tiled=True,
        pictures=[PictureReceipt(7, "0" * 64), PictureReceipt(8, "1" * 64)],
    )


def test_a_picture_s_origin_is_the_process_that_rendered_it() -> None:
    """And whether it had to decode in tiles."""
    origin = origin_of(READY, rendered(tiled=True))
    assert (origin.device, origin.dtype, origin.tiled) == ("NVIDIA H200", "float16", True)
