"""Rescue, expiry, republishing, and the end of silent workers' sessions."""

from chassis.postgres import Connection
from darkroom_contracts.api import JobError
from darkroom_contracts.errors import JobErrorCode, Stage
from operations.sweeps import store
from operations.sweeps.sweep import PatientSweep, Sweep

_WAITED_TOO_LONG = JobError(
    JobErrorCode.EXPIRED, "The job did not start within its ttl_seconds.", retryable=True, stage=Stage.QUEUE
)


class Rescue(PatientSweep):
    """Take back the jobs whose lease ran out."""

    name = "rescue"
    interval = 2.0

    async def sweep(self, connection: Connection) -> int:
        return await store.reap_jobs(connection, self.batch)


class Expire(Sweep):
    """Expire the queued jobs whose time to live or deadline has passed."""

    name = "expire"
    interval = 2.0

    async def sweep(self, connection: Connection) -> int:
        return await store.expire_jobs(connection, self.batch, _WAITED_TOO_LONG)


class Republish(PatientSweep):
    """Publish again the jobs whose message is proved to be lost."""

    name = "republish"
    interval = 10.0
    batch = 2000
    """Larger than that of other sweeps: after the broker lost its data every queued job must be published again."""

    async def sweep(self, connection: Connection) -> int:
        return await store.republish_lost_jobs(connection, self.batch)


class EndSessions(PatientSweep):
    """End the sessions of workers that stopped sending heartbeats."""

    name = "end-sessions"
    interval = 30.0

    async def sweep(self, connection: Connection) -> int:
        return await store.end_silent_sessions(connection, self.batch)
