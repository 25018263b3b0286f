"""Whether it is the render process that fails, and not the jobs."""

from collections.abc import Iterable

from darkroom_contracts.api import JobInput
from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.protocol import RenderFailed, Size

FAILURES_IN_A_ROW = 2
_EITHER_S_FAULT = frozenset({JobErrorCode.PIPELINE_ERROR, JobErrorCode.NON_FINITE_OUTPUT, JobErrorCode.OUT_OF_MEMORY})


class Suspicion:
    """Remembers which sizes one process has rendered well, and how often in a row it failed at such a size since.

    A size that it never managed tells nothing: the job may ask for too much.
    """

    def __init__(self) -> None:
        self._known_good: set[Size] = set()
        self._failures = 0

    def begin(self, warm_sizes: Iterable[Size]) -> None:
        """A new process, which has rendered these sizes."""
        self._known_good = set(warm_sizes)
        self._failures = 0

    def note_success(self, wanted: JobInput) -> None:
        self._known_good.add(_size(wanted))
        self._failures = 0

    def note_failure(self, wanted: JobInput, failed: RenderFailed) -> bool:
        """Whether the process may be what failed: it had rendered this size well before."""
        may_be_the_process = failed.code in _EITHER_S_FAULT and _size(wanted) in self._known_good
        self._failures += may_be_the_process
        return may_be_the_process

    @property
    def convicts(self) -> bool:
        """The process is to be replaced."""
        return self._failures >= FAILURES_IN_A_ROW


def _size(wanted: JobInput) -> Size:
    return Size(wanted.width, wanted.height)
