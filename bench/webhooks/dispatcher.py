"""A dispatcher: one process of the service `webhooks`, whose memory and CPU time are measured."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psutil

from bench.measures import cpu_seconds, resident_megabytes
from bench.stack import WORKER, Target, wait_ready

SERVICE = "webhooks"
ALLOWED = {"DARKROOM_WEBHOOK_ALLOWED_HOSTS": "127.0.0.0/8"}
SAMPLE_SECONDS = 0.25
STOP_SECONDS = 60
NEEDLESS = (WORKER, SERVICE, "gateway", "status", "operations", "edge", "s3", "rabbitmq", "epmd")
"""Programs of the stack that are stopped: webhooks needs PostgreSQL alone."""


class Dispatcher:
    """A running dispatcher."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.megabytes = 0.0
        """The largest resident memory so far, in 10^6 bytes."""

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used."""
        return cpu_seconds(self._pid)

    async def watch_memory(self) -> None:
        """Sample its memory until this is canceled."""
        with suppress(psutil.NoSuchProcess):
            while True:
                self.megabytes = max(self.megabytes, resident_megabytes(self._pid))
                await asyncio.sleep(SAMPLE_SECONDS)


@asynccontextmanager
async def dispatching(target: Target) -> AsyncIterator[Dispatcher]:
    """Run a dispatcher with the settings of the stack, whose own one is stopped. It may send to all of the loopback."""
    command = [str(target.checkout.python), "-m", SERVICE]
    with (target.home / "logs" / "bench-webhooks.log").open("ab") as log:
        environment = {**target.environment, **ALLOWED}
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
    dispatcher = Dispatcher(process.pid)
    watching = asyncio.create_task(dispatcher.watch_memory())
    try:
        await asyncio.to_thread(wait_ready, target.origin(SERVICE))
        yield dispatcher
    finally:
        watching.cancel()
        process.terminate()
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
