"""RabbitMQ: connections, the declarer of the topology, and confirmed publishes.

Publish and consume on separate connections: an alarm on the broker blocks publishing connections.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, cast

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError
from aiormq.channel import Channel

from chassis.confirms import ConfirmedChannel, Message, Receipt, wait_for_answers
from darkroom_contracts.topology import Topology

CONNECT_TIMEOUT_SECONDS = 5.0
PUBLISH_TIMEOUT_SECONDS = 5.0
HEARTBEAT_SECONDS = 10

_AWAY = (AMQPError, ConnectionError, OSError, RuntimeError, TimeoutError)


class BrokerUnavailableError(Exception):
    """RabbitMQ can't be reached, or did not answer in time; whether a publish arrived is unknown."""


class UnroutableError(Exception):
    """No queue is bound for the message; the broker returned it."""


class RefusedError(Exception):
    """The broker refused to take the message (nack): its queue is full or lost."""


class Broker:
    """One connection, opened when first needed and opened again after a loss."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: AbstractConnection | None = None
        self._connecting = asyncio.Lock()

    async def channel(self, *, prefetch: int | None = None, confirms: bool = True) -> AbstractChannel:
        """Open a channel; with `confirms`, publishes are confirmed and returns raise. Raises BrokerUnavailableError."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                connection = await self._connected()
                channel = await connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
                if prefetch is not None:
                    await channel.set_qos(prefetch_count=prefetch)
                return channel
        except _AWAY as error:
            raise BrokerUnavailableError(_describe(error)) from error

    async def declare(self, topology: Topology) -> None:
        """Declare every exchange, queue and binding; what exists already is left as it is."""
        channel = await self.channel()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS * 3):
                await _declare(channel, topology)
        except _AWAY as error:
            raise BrokerUnavailableError(_describe(error)) from error
        finally:
            await close_quietly(channel)

    async def connect(self) -> None:
        """Connect unless connected. Raises BrokerUnavailableError."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await self._connected()
        except _AWAY as error:
            raise BrokerUnavailableError(_describe(error)) from error

    async def check(self) -> None:
        """Raises BrokerUnavailableError unless RabbitMQ answers."""
        await close_quietly(await self.channel())

    async def close(self) -> None:
        if self._connection and not self._connection.is_closed:
            await close_quietly(self._connection)

    async def _connected(self) -> AbstractConnection:
        async with self._connecting:
            # `is_closed` tells only of our own close; a connection that the broker ended is no longer `connected`.
            if self._connection is None or not self._connection.connected.is_set():
                self._connection = await aio_pika.connect(
                    self._url,
                    timeout=CONNECT_TIMEOUT_SECONDS,
                    client_properties={"connection_name": self._name},
                    heartbeat=HEARTBEAT_SECONDS,
                )
            return self._connection


class Publisher:
    """Confirmed, mandatory, persistent publishes on a channel of its own, opened when first needed and after a loss."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._channel: AbstractChannel | None = None
        self._confirmed: ConfirmedChannel | None = None
        self._opening = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def unanswered(self) -> int:
        """Publishes that the broker has neither confirmed nor refused yet."""
        return self._confirmed.unanswered if self._confirmed else 0

    async def send(self, messages: Sequence[Message]) -> list[Receipt]:
        """Hand messages to the broker in one write, without waiting for its answers.

        Raises BrokerUnavailableError, having sent none.
        """
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                return await (await self._opened()).send(messages)
        except _AWAY as error:
            raise BrokerUnavailableError(_describe(error)) from error

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, headers: dict[str, Any], content_type: str
    ) -> None:
        """Publish and wait for the broker's confirm.

        Raises BrokerUnavailableError, UnroutableError or RefusedError. After a BrokerUnavailableError the message
        may have arrived all the same.
        """
        end = time.monotonic() + PUBLISH_TIMEOUT_SECONDS
        (receipt,) = await self.send([Message(exchange, routing_key, body, headers, content_type)])
        await wait_for_answers([receipt], end - time.monotonic())
        match receipt.answer:
            case "returned":
                raise UnroutableError(f"No queue takes {routing_key!r} from exchange {exchange!r}.")
            case "refused":
                raise RefusedError(f"The broker refused a message for {routing_key!r}.")
            case "unknown":
                raise BrokerUnavailableError("The channel was lost before the broker confirmed the message.")
            case None:
                self.renew()  # a queue that does not answer holds up all else on the channel
                raise BrokerUnavailableError(f"No confirm within {PUBLISH_TIMEOUT_SECONDS:g} s.")

    def renew(self) -> None:
        """Use a fresh channel from now on. The answers that the present one owes are given up."""
        if self._channel is not None:
            closing = asyncio.create_task(close_quietly(self._channel))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._channel = self._confirmed = None

    async def _opened(self) -> ConfirmedChannel:
        async with self._opening:
            if self._confirmed is None or self._confirmed.is_closed:
                self._channel = await self._broker.channel()
                self._confirmed = ConfirmedChannel(cast(Channel, await self._channel.get_underlay_channel()))
            return self._confirmed


class Announcer:
    """Transient, unconfirmed publishes for live views: best effort, and what nobody listens to is dropped."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._channel: AbstractChannel | None = None

    async def announce(self, exchange: str, routing_key: str, body: bytes, content_type: str) -> None:
        """Hand a message to the broker without waiting for its answer. Raises BrokerUnavailableError."""
        message = aio_pika.Message(body, content_type=content_type, delivery_mode=aio_pika.DeliveryMode.NOT_PERSISTENT)
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                if self._channel is None or self._channel.is_closed:
                    self._channel = await self._broker.channel(confirms=False)
                target = await self._channel.get_exchange(exchange, ensure=False)
                await target.publish(message, routing_key, mandatory=False)
        except _AWAY as error:
            raise BrokerUnavailableError(_describe(error)) from error


async def close_quietly(closable: AbstractChannel | AbstractConnection) -> None:
    """Close what may be lost already, within a finite time."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await closable.close()
    except _AWAY:
        return


async def _declare(channel: AbstractChannel, topology: Topology) -> None:
    for exchange in topology.exchanges:
        await channel.declare_exchange(exchange.name, aio_pika.ExchangeType(exchange.type), durable=True)
    queues = {
        queue.name: await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
        for queue in topology.queues
    }
    for binding in topology.bindings:
        await queues[binding.queue].bind(binding.exchange, binding.routing_key, arguments=binding.arguments)


def _describe(error: BaseException) -> str:
    return str(error) or type(error).__name__
