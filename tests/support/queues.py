"""Looks at the broker's queues and puts messages into them, as a stranger to the services would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel

from darkroom_contracts.messages import v1
from darkroom_contracts.topology import JOB_ID_HEADER, WORK_EXCHANGE

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Queues:
    """One vhost's queues, with a connection for each act, so that the broker may be restarted between two."""

    def __init__(self, amqp_url: str) -> None:
        self._url = amqp_url

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """Open a channel with publisher confirms, on which an unroutable publish raises."""
        async with await aio_pika.connect(self._url) as connection:
            yield await connection.channel(on_return_raises=True)

    async def waiting(self, queue: str) -> int:
        """Return the number of messages that no consumer holds."""
        async with self.channel() as channel:
            declared = await channel.declare_queue(queue, passive=True)
            return int(declared.declaration_result.message_count or 0)

    async def publish(
        self, model: str, body: bytes, headers: dict[str, str] | None = None, *, exchange: str = WORK_EXCHANGE
    ) -> None:
        """Put any bytes before the model's workers, or where another exchange sends them."""
        message = aio_pika.Message(body, headers=dict(headers or {}), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        async with self.channel() as channel:
            target = await channel.get_exchange(exchange, ensure=False)
            await target.publish(message, model, mandatory=True)

    async def publish_job(self, model: str, job: v1.Render) -> None:
        """Publish a job's message once more."""
        await self.publish(model, v1.encode(job), {JOB_ID_HEADER: str(job.job_id)})
