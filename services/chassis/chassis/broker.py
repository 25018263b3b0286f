"""The connection to RabbitMQ, and the declaration of its topology.

Publish and consume on separate connections: a memory or disk alarm of the broker blocks publishing connections.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import (
    AMQPChannelError,
    AMQPConnectionError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ProtocolSyntaxError,
)

from chassis.amqp_decoding import decode_any_message
from chassis.errors import BrokerUnavailableError
from darkroom_contracts.topology import Topology

CONNECT_TIMEOUT_SECONDS = 5.0
DECLARE_TIMEOUT_SECONDS = 15.0
HEARTBEAT_SECONDS = 10

_AWAY = (AMQPConnectionError, AMQPChannelError, ProtocolSyntaxError, ChannelInvalidStateError, OSError)
"""What aio-pika 10 and aiormq 7 raise when the connection or the channel is lost, or refused. ChannelInvalidStateError
is a RuntimeError; OSError includes TimeoutError and ConnectionError."""

decode_any_message()


class _Connection(aio_pika.Connection):
    """Starts nothing when it is collected: one that never opened, or was lost, has nothing to close.

    aio-pika 10 starts a coroutine there, which nobody awaits if the loop does not run.
    """

    def __del__(self) -> None:
        pass


class Broker:
    """A connection that is opened on first use, and again after a loss."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: AbstractConnection | None = None
        self._connecting = asyncio.Lock()

    async def channel(self, *, prefetch: int | None = None, confirms: bool = True) -> AbstractChannel:
        """Open a channel; with `confirms`, publishes are confirmed and returns raise. Raises BrokerUnavailableError."""
        with translated_errors():
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                channel = await open_channel(await self._connected(), confirms=confirms)
                if prefetch is not None:
                    await channel.set_qos(prefetch_count=prefetch)
                return channel

    async def declare(self, topology: Topology) -> None:
        """Declare every exchange, queue and binding; existing ones stay as they are.

        Raises BrokerUnavailableError.
        """
        channel = await self.channel()
        try:
            with translated_errors():
                async with asyncio.timeout(DECLARE_TIMEOUT_SECONDS):
                    await _declare(channel, topology)
        finally:
            await close_quietly(channel)

    async def count_messages(self, queues: Sequence[str]) -> dict[str, int]:
        """Return the numbers of messages that wait in those queues that exist. Raises BrokerUnavailableError.

        A quorum queue whose leader does not answer counts 0. Counting is not a delivery, so it wears nothing out.
        """
        counts = {}
        channel = await self.channel(confirms=False)
        try:
            for name in queues:
                if channel.is_closed:  # RabbitMQ closes it when a queue is missing
                    channel = await self.channel(confirms=False)
                count = await _count_messages(channel, name)
                if count is not None:
                    counts[name] = count
        finally:
            await close_quietly(channel)
        return counts

    async def connect(self) -> None:
        """Connect unless connected. Raises BrokerUnavailableError."""
        with translated_errors():
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await self._connected()

    async def check(self) -> None:
        """Raise BrokerUnavailableError unless RabbitMQ answers."""
        await close_quietly(await self.channel())

    async def close(self) -> None:
        """Close the connection and all of its channels."""
        if self._connection and not self._connection.is_closed:
            await close_quietly(self._connection)

    async def _connected(self) -> AbstractConnection:
        async with self._connecting:
            # `is_closed` is true only after our own close; `connected` is cleared when the broker closes, too.
            if self._connection is None or not self._connection.connected.is_set():
                self._connection = await aio_pika.connect(
                    self._url,
                    timeout=CONNECT_TIMEOUT_SECONDS,
                    client_properties={"connection_name": self._name},
                    heartbeat=HEARTBEAT_SECONDS,
                    connection_class=_Connection,
                )
            return self._connection


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate what aio-pika raises when the broker is away to BrokerUnavailableError.

    Two cases of aiormq 7 are special. A connection that missed its heartbeats raises CancelledError in pending calls,
    though nobody canceled their tasks. A connection that ends between two frames raises a plain Exception in pending
    calls, or StopAsyncIteration while connecting.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerUnavailableError("The connection was lost: heartbeats were missed.") from error
    except (*_AWAY, StopAsyncIteration) as error:
        raise BrokerUnavailableError(str(error) or type(error).__name__) from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise BrokerUnavailableError("The connection was closed.") from error


async def close_quietly(closable: AbstractChannel | AbstractConnection) -> None:
    """Close a channel or connection that may be lost already. Takes at most CONNECT_TIMEOUT_SECONDS."""
    try:
        with translated_errors():
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await closable.close()
    except BrokerUnavailableError:
        return


async def open_channel(connection: AbstractConnection, *, confirms: bool) -> AbstractChannel:
    """Open a channel on a connection that may be lost. Raises BrokerUnavailableError and aio-pika's errors."""
    try:
        return await connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
    except RuntimeError as error:
        # aio-pika and aiormq raise a plain RuntimeError for a closed connection.
        transport = connection.transport
        if transport is not None and not transport.connection.is_closed:
            raise
        raise BrokerUnavailableError("The connection was closed.") from error


async def _count_messages(channel: AbstractChannel, queue: str) -> int | None:
    """Return the number of messages that wait, or None without such a queue."""
    with translated_errors():
        async with asyncio.timeout(DECLARE_TIMEOUT_SECONDS):
            try:
                declared = await channel.declare_queue(queue, passive=True)
            except ChannelNotFoundEntity:
                return None
    return declared.declaration_result.message_count


async def _declare(channel: AbstractChannel, topology: Topology) -> None:
    for exchange in topology.exchanges:
        await channel.declare_exchange(exchange.name, aio_pika.ExchangeType(exchange.type), durable=True)
    queues = {
        queue.name: await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
        for queue in topology.queues
    }
    for binding in topology.bindings:
        await queues[binding.queue].bind(binding.exchange, binding.routing_key, arguments=binding.arguments)
