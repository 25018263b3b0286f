"""The provenance written into each picture."""

from gpu_consumer.pictures.origin import origin_of
from gpu_consumer.protocol import RenderedImage
from tests.support.models import execution, picture, ready

EXECUTION = execution(layout="channels_last", cuda_graphs=True, cpu_threads=None)
READY = ready(device="NVIDIA H200", dtype="float16", manifest_sha256="ab" * 32, execution=EXECUTION)


def test_a_picture_s_origin_is_the_process_that_rendered_it() -> None:
    """And the picture's own batch, tiles and precision."""
    made = picture(RenderedImage(1, 1, 7, b"rgb"), batch_size=4, tiled=True, vae_dtype="float32")
    origin = origin_of(READY, made)
    assert (origin.device, origin.dtype, origin.execution) == ("NVIDIA H200", "float16", EXECUTION)
    assert (origin.batch_size, origin.tiled, origin.vae_dtype) == (4, True, "float32")
