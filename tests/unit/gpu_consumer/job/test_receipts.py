"""The provenance stored on the job."""

from darkroom_contracts.api import PictureReceipt, Receipt
from darkroom_contracts.objects import StoredOutput
from gpu_consumer.job.receipts import receipt_of
from tests.support.models import execution, job_input, ready, rendered

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
