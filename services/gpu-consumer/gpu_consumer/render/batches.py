"""Batch sizes for denoising."""

from gpu_consumer.protocol import Device, Size


class Batches:
    """The largest batch known to fit in memory, per picture size.

    On a CPU the batch size is always 1: CPU kernels round differently for each batch shape, so a picture rendered in a
    batch would differ from the same picture rendered alone (docs/decisions/0014).
    """

    def __init__(self, device: Device, *, compiled: bool) -> None:
        # torch.compile specializes on the batch shape; another one would be compiled again, for minutes.
        self._always_one = device == "cpu" or compiled
        self._fits: dict[Size, int] = {}

    def choose(self, size: Size, pictures: int) -> int:
        """Return the next batch size, between 1 and `pictures`."""
        return 1 if self._always_one else min(pictures, self._fits.get(size, pictures))

    def did_not_fit(self, size: Size, batch: int) -> None:
        """Record that a batch ran out of memory: later batches of this size hold at most half as many pictures."""
        self._fits[size] = max(1, batch // 2)
