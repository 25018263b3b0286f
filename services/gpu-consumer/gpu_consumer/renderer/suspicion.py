"""Whether failures are the render process's fault rather than the jobs'."""

from collections.abc import Iterable

from darkroom_contracts.api import JobInput
from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.protocol import RenderFailed, Size

FAILURES_IN_A_ROW = 2
_AMBIGUOUS = frozenset({JobErrorCode.PIPELINE_ERROR, JobErrorCode.NON_FINITE_OUTPUT, JobErrorCode.OUT_OF_MEMORY})


class Suspicion:
    """Counts a process's failures in a row at known-good sizes, those that it has rendered before.

    A failure at another size proves nothing: the job may ask for too much.
    """

    def __init__(self) -> None:
        self._known_good: set[Size] = set()
        self._failures = 0

    def begin(self, warm_sizes: Iterable[Size]) -> None:
        """Start over with a new process that has rendered these sizes."""
        self._known_good = set(warm_sizes)
        self._failures = 0

    def note_success(self, wanted: JobInput) -> None:
        """Record a render that succeeded."""
        self._known_good.add(_size(wanted))
        self._failures = 0

    def note_failure(self, wanted: JobInput, failed: RenderFailed) -> bool:
        """Record a failure. Return whether it may be the process's fault: the size is known-good."""
        may_be_the_process = failed.code in _AMBIGUOUS and _size(wanted) in self._known_good
        self._failures += may_be_the_process
        return may_be_the_process

    @property
    def is_confirmed(self) -> bool:
        """Whether the process must be replaced."""
        return self._failures >= FAILURES_IN_A_ROW


def _size(wanted: JobInput) -> Size:
    return Size(wanted.width, wanted.height)
