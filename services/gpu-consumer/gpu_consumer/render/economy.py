"""How sparingly a render uses memory."""

import msgspec

from gpu_consumer.protocol import Size


class Economy(msgspec.Struct):
    """Of one render. It goes on more sparingly when it must, never back."""

    batch: int
    """Pictures denoised together, at most."""
    tiled: bool
    """Decoded in tiles."""


class TiledSizes:
    """Remembers the sizes that only decode in tiles, so that no later job runs out of memory at them first."""

    def __init__(self) -> None:
        self._sizes: set[Size] = set()

    def __contains__(self, size: Size) -> bool:
        return size in self._sizes

    def add(self, size: Size) -> None:
        """Tell the log the first time."""
        if size in self._sizes:
            return
        self._sizes.add(size)
        print(  # noqa: T201 - goes to the log
            f"A picture of {size.width}x{size.height} does not fit into memory when it is decoded whole. Pictures of "
            "this size are decoded in tiles until the render process is started again.",
            flush=True,
        )
