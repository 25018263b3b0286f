"""A failing GPU, detected by render processes that different jobs lose in a row."""

import asyncio
from uuid import UUID

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.job.outcome import Dead, Outcome, Retry
from gpu_consumer.job.verdict import Claimed
from gpu_consumer.startup import DeviceFailingError

SICK_AFTER_JOBS = 2
"""A wrong suspicion costs one restart. A late one costs good jobs their attempts."""
_LOSSES = (JobErrorCode.RENDER_PROCESS_LOST, JobErrorCode.POISON)


class LossStreak:
    """The attempts that lost their render process since the last render that succeeded.

    A single job that loses every process is poison, which its own attempts count. Different jobs that lose processes in
    a row are the GPU's fault: the worker closes and refunds their attempts.
    """

    def __init__(self) -> None:
        self._jobs: set[UUID] = set()
        self._tokens: list[UUID] = []
        self._sick = asyncio.Event()

    @property
    def is_sick(self) -> bool:
        """Whether the worker must close. Stays true: a later success proves nothing."""
        return self._sick.is_set()

    @property
    def tokens(self) -> list[UUID]:
        """Lease tokens of the attempts, oldest first."""
        return list(self._tokens)

    def note_success(self) -> None:
        """Record a render that succeeded: the GPU works."""
        if not self.is_sick:
            self._jobs.clear()
            self._tokens.clear()

    def note_outcome(self, claimed: Claimed, outcome: Outcome) -> None:
        """Record the outcome of an attempt, once it is settled."""
        if isinstance(outcome, Retry | Dead) and outcome.error.code in _LOSSES:
            self._jobs.add(claimed.job_id)
            self._tokens.append(claimed.token)
            if len(self._jobs) >= SICK_AFTER_JOBS:
                self._sick.set()

    async def watch(self) -> None:
        """Raise DeviceFailingError once the worker must close."""
        await self._sick.wait()
        raise DeviceFailingError(
            f"{len(self._tokens)} attempts at {len(self._jobs)} different jobs in a row lost the render process, so the"
            " GPU is suspected; their attempts are refunded. See the log lines 'render process lost', and the GPU's"
            " health (nvidia-smi, dmesg) before it is started again."
        )
