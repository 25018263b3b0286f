"""Memory fallbacks of a render: smaller batches, tiled decoding."""

import msgspec

from gpu_consumer.protocol import Size


class Economy(msgspec.Struct):
    """The fallbacks in use by one render. Within the render they only ever increase."""

    batch: int
    """Largest number of pictures denoised together."""
    tiled: bool
    """Whether pictures are decoded in tiles."""


class TiledSizes:
    """The picture sizes that ran out of memory when decoded whole, so that later jobs start with tiles."""

    def __init__(self) -> None:
        self._sizes: set[Size] = set()

    def __contains__(self, size: Size) -> bool:
        return size in self._sizes

    def add(self, size: Size) -> None:
        """Add a size, and log it the first time."""
        if size in self._sizes:
            return
        self._sizes.add(size)
        print(  # noqa: T201 - goes to the log
            f"Decoding a {size.width}x{size.height} picture whole ran out of memory. Pictures of this size are decoded "
            "in tiles until the render process restarts.",
            flush=True,
        )
