"""Publishers: with confirms for messages that must arrive, without them for live events."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, cast

import aio_pika
from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel

from chassis.broker import Broker, close_quietly, translated_errors
from chassis.confirms import Answer, ConfirmedChannel, Message, Receipt, wait_for_answers
from chassis.errors import BrokerUnavailableError, RefusedError, UnroutableError

PUBLISH_TIMEOUT_SECONDS = 5.0


class Publisher:
    """Confirmed, mandatory, persistent publishes, on a channel that is opened on first use, and again after a loss."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._channel: AbstractChannel | None = None
        self._confirmed: ConfirmedChannel | None = None
        self._opening = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def unanswered(self) -> int:
        """Number of publishes without an answer of the broker."""
        return self._confirmed.unanswered if self._confirmed else 0

    async def send(self, messages: Sequence[Message]) -> list[Receipt]:
        """Write messages in one batch, without waiting for the broker's answers.

        Raises BrokerUnavailableError if none was sent.
        """
        with translated_errors():
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                return await (await self._opened()).send(messages)

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, headers: dict[str, Any], content_type: str
    ) -> None:
        """Publish and wait for the broker's confirm.

        Raises BrokerUnavailableError, UnroutableError or RefusedError. After a BrokerUnavailableError the message
        may still have arrived.
        """
        end = time.monotonic() + PUBLISH_TIMEOUT_SECONDS
        (receipt,) = await self.send([Message(exchange, routing_key, body, headers, content_type)])
        await wait_for_answers([receipt], end - time.monotonic())
        match receipt.answer:
            case Answer.RETURNED:
                raise UnroutableError(f"No queue takes {routing_key!r} from exchange {exchange!r}.")
            case Answer.REFUSED:
                raise RefusedError(f"The broker refused a message for {routing_key!r}.")
            case Answer.UNKNOWN:
                raise BrokerUnavailableError("The channel was lost before the broker confirmed the message.")
            case None:
                self.renew()  # a queue that does not answer blocks the channel for all other queues
                raise BrokerUnavailableError(f"No confirm within {PUBLISH_TIMEOUT_SECONDS:g} s.")

    def renew(self) -> None:
        """Replace the channel. Missing answers on the present channel become unknown."""
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
    """Transient, unconfirmed publishes of live events. The broker drops an event that no queue is bound for."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._channel: AbstractChannel | None = None

    async def announce(self, exchange: str, routing_key: str, body: bytes, content_type: str) -> None:
        """Write an event without waiting for an answer. Raises BrokerUnavailableError."""
        message = aio_pika.Message(body, content_type=content_type, delivery_mode=aio_pika.DeliveryMode.NOT_PERSISTENT)
        with translated_errors():
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                if self._channel is None or self._channel.is_closed:
                    self._channel = await self._broker.channel(confirms=False)
                target = await self._channel.get_exchange(exchange, ensure=False)
                await target.publish(message, routing_key, mandatory=False)
