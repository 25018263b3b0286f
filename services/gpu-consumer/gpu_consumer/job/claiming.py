"""The step `claim`: ask Postgres for the job, for a limited time."""

import asyncio
import time
from uuid import uuid4

from darkroom_contracts.messages import RenderMessage
from gpu_consumer.gate import DATABASE, Gate
from gpu_consumer.job.lease import Holding, Lease
from gpu_consumer.job.verdict import Claimed, Refusal, Unanswered, Verdict
from gpu_consumer.waiting import first_of, until_answered

CLAIM_SECONDS = 5.0
"""How long a claim may take. Then the message goes back: other workers may reach Postgres, and a message that is held
unclaimed for longer may be taken for lost."""
CLAIM_GRACE_SECONDS = 2.0
"""How long a worker that drains waits for the answer to a claim under way."""


class Claiming:
    """Claims jobs, while the worker does not drain and Postgres answers in time."""

    def __init__(self, store: Holding, gate: Gate, heartbeat_seconds: float) -> None:
        self._store = store
        self._gate = gate
        self._heartbeat_seconds = heartbeat_seconds

    async def claim(self, message: RenderMessage) -> Lease | Refusal | Unanswered:
        """Claim the message's job. A claim in doubt is repeated under one token.

        A claim that is not answered in time closes the gate until Postgres answers again.
        """
        if self._gate.draining:
            return Unanswered()
        token, sent_at = uuid4(), time.monotonic()
        claim = asyncio.create_task(until_answered(lambda: self._store.claim(message, token)))
        await self._wait_answered(claim)
        if not claim.done():
            claim.cancel()
            self._gate.forbid(DATABASE, "The database does not answer claims.")
            return Unanswered()
        verdict = claim.result()
        if not isinstance(verdict, Claimed):
            return verdict
        return Lease(self._store, verdict, message, self._heartbeat_seconds, sent_at)

    async def _wait_answered(self, claim: asyncio.Task[Verdict]) -> None:
        await first_of(claim, self._gate.wait_draining(), asyncio.sleep(CLAIM_SECONDS))
        if not claim.done() and self._gate.draining:
            # It may have taken effect: without its answer nobody would render the job until its lease runs out.
            await first_of(claim, asyncio.sleep(CLAIM_GRACE_SECONDS))
