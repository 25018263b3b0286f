"""How many pictures are denoised together."""

from gpu_consumer.protocol import Device, Size


class Batches:
    """Remembers for each size how many pictures did not fit, so that no later job runs into it again.

    On a CPU pictures are rendered one at a time: its kernels round by the shape of the batch, so that a picture of a
    batch would differ from the same one rendered alone (docs/decisions/0014).
    """

    def __init__(self, device: Device, *, compiled: bool) -> None:
        # What was compiled is good for one shape only: every other batch would be compiled anew, for minutes.
        self._alone = device == "cpu" or compiled
        self._fits: dict[Size, int] = {}

    def choose(self, size: Size, pictures: int) -> int:
        """How many of so many pictures to denoise next, at least one."""
        return 1 if self._alone else min(pictures, self._fits.get(size, pictures))

    def did_not_fit(self, size: Size, batch: int) -> None:
        """From now on at most half as many."""
        self._fits[size] = max(1, batch // 2)
