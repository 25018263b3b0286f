"""Progress output of the training."""

import time

EVERY_SECONDS = 20.0


class Report:
    """A printer of the smoothed loss and the speed every few seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._steps = 0
        self._loss: float | None = None
        self._last = time.monotonic()
        self._last_steps = 0

    def step(self, share: float, loss: float) -> None:
        """Count a step. `share` is the completed share of the training, 0 to 1."""
        self._steps += 1
        self._loss = loss if self._loss is None else 0.98 * self._loss + 0.02 * loss
        elapsed = time.monotonic() - self._last
        if elapsed >= EVERY_SECONDS:
            pace = (self._steps - self._last_steps) / elapsed
            print(  # noqa: T201 - a command's output
                f"{self._name} {share:4.0%}  step {self._steps}  loss {self._loss:.4f}  {pace:.1f} steps/s", flush=True
            )
            self._last, self._last_steps = time.monotonic(), self._steps
