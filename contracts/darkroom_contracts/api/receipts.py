"""What rendered a job's pictures."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """How the networks were executed, as far as it changes the last bits of a picture."""

    layout: Annotated[str, Meta(description="Memory layout of UNet and VAE: `contiguous` or `channels_last`.")]
    compiled: Annotated[
        list[str],
        Meta(
            description="Sizes that torch.compile generated code for, such as `512x512`, with ` unguided` for renders"
            " without guidance. All other sizes run without."
        ),
    ]
    cuda_graphs: Annotated[bool, Meta(description="Whether the kernels were replayed from CUDA graphs.")]
    attention: Annotated[str, Meta(description="Attention processors of diffusers.")]
    tf32_convolutions: Annotated[
        bool,
        Meta(
            description="Whether convolutions in single precision multiply in TF32. SDXL's VAE computes in single"
            " precision."
        ),
    ]
    tf32_products: Annotated[bool, Meta(description="The same for matrix products.")]
    cpu_capability: Annotated[
        str, Meta(description="Vector instructions that torch chose. The noise is drawn on the CPU even with a GPU.")
    ]
    cpu_threads: Annotated[int | None, Meta(description="Threads that torch computes with; null on a GPU.")]


class PictureReceipt(msgspec.Struct, frozen=True):
    """The seed and the bytes of a picture."""

    seed: Annotated[int, Meta(description="Seed of the picture.")]
    sha256: Annotated[str, Meta(description="Hexadecimal digest of the stored file.")]


class Receipt(msgspec.Struct, frozen=True):
    """What rendered the pictures, so that `darkroom verify` can render them again."""

    model_revision: Annotated[str, Meta(description="Digest of the files that were loaded.")]
    scheduler: Annotated[str, Meta(description="Scheduler that made the steps.")]
    dtype: Annotated[str, Meta(description="Type of the weights and of the computation.")]
    device: Annotated[str, Meta(description="Device that rendered.")]
    versions: Annotated[dict[str, str], Meta(description="Versions of libraries; of CUDA and cuDNN too on a GPU.")]
    manifest_sha256: Annotated[
        str | None, Meta(description="Digest of the model folder's SHA256SUMS; null where it has none.")
    ] = None
    batch_size: Annotated[
        int, Meta(description="Most pictures that were rendered together; a GPU's last bits may depend on it.")
    ] = 1
    tiled: Annotated[
        bool,
        Meta(description="Whether the pictures were decoded in tiles for lack of memory, which changes last bits."),
    ] = False
    vae_dtype: Annotated[
        str | None,
        Meta(description="Widest type that the VAE decoded in: float32 where float16 overflowed."),
    ] = None
    execution: Annotated[
        Execution | None, Meta(description="How the networks were executed, as far as it changes last bits.")
    ] = None
    pictures: Annotated[list[PictureReceipt], Meta(description="The seed and the digest of each picture.")] = []
