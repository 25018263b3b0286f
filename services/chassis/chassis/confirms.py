"""Many publishes in one write, each with the broker's answer.

aiormq publishes one message at a time, with a lock, two futures and a timer for each: 130 microseconds of processor
time, against 25 for a message of a batch. This module writes batches to its channels itself and reads the confirms that
aiormq collects there. It stands on attributes of `aiormq.channel.Channel` that are public, but not documented:
tests/integration/chassis/test_confirms.py holds each of them to a real broker.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Literal, TypeAlias, cast
from uuid import uuid4

import msgspec
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError, PublishError
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

PERSISTENT = 2

Answer: TypeAlias = Literal["confirmed", "returned", "refused", "unknown"]
"""The broker has it, found no queue for it, refused it (nack), or may or may not have it."""


class Message(msgspec.Struct, frozen=True):
    """What to publish, and where to."""

    exchange: str
    routing_key: str
    body: bytes
    headers: dict[str, Any]
    content_type: str


class Receipt:
    """The broker's answer to one publish: None until it is there."""

    __slots__ = ("_listeners", "answer")

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self._listeners: list[Callable[[Receipt], object]] = []

    def listen(self, listener: Callable[["Receipt"], object]) -> None:
        """Call the listener when the answer arrives."""
        self._listeners.append(listener)

    def settle(self, answer: Answer) -> None:
        """Take the first answer; the channel's end says nothing new about what was answered."""
        if self.answer is None:
            self.answer = answer
            for listener in self._listeners:
                listener(self)

    # What aiormq asks of a confirmation: a part of a future's methods.

    def done(self) -> bool:
        return self.answer is not None

    def cancelled(self) -> bool:
        return False

    def set_result(self, ack: object) -> None:
        self.settle("confirmed")

    def set_exception(self, error: BaseException) -> None:
        match error:
            case PublishError():
                self.settle("returned")
            case DeliveryError():
                self.settle("refused")
            case _:
                self.settle("unknown")


class ConfirmedChannel:
    """A channel in confirm mode that publishes batches, persistent and mandatory."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._written: asyncio.Future[None] | None = None
        channel.closing.add_done_callback(self._end)

    @property
    def is_closed(self) -> bool:
        return self._channel.is_closed

    @property
    def unanswered(self) -> int:
        """Publishes whose answer is yet to come."""
        return len(self._channel.confirmations)

    async def send(self, messages: Sequence[Message]) -> list[Receipt]:
        """Write the messages and return their receipts. Canceled, or on a closed channel, it has written none.

        Waits until the operating system has taken the batch before, so that no backlog grows here.
        """
        # Fresh for each publish: by its id aiormq finds what a returned message belongs to.
        ids = [uuid4().hex for _ in messages]
        async with self._channel.lock:
            if self._written:
                await asyncio.wait({self._written})
            written = self._channel.create_future()
            payload = b"".join(self._frames(messages, ids))
            await self._channel.write_queue.put(ChannelFrame(payload, should_close=False, drain_future=written))
            # Nothing runs between the write's start and this: no answer can come before its receipt is there.
            self._written = written
            return [self._expect(message_id) for message_id in ids]

    def _frames(self, messages: Sequence[Message], ids: Sequence[str]) -> Iterator[bytes]:
        number, longest = self._channel.number, self._channel.max_content_size
        for message, message_id in zip(messages, ids, strict=True):
            properties = commands.Basic.Properties(
                content_type=message.content_type,
                headers=message.headers,
                delivery_mode=PERSISTENT,
                message_id=message_id,
            )
            yield _publish_frame(number, message.exchange, message.routing_key)
            yield frame.marshal(ContentHeader(body_size=len(message.body), properties=properties), number)
            for start in range(0, len(message.body), longest):
                yield frame.marshal(ContentBody(message.body[start : start + longest]), number)

    def _expect(self, message_id: str) -> Receipt:
        channel, receipt = self._channel, Receipt()
        channel.delivery_tag += 1
        channel.confirmations[channel.delivery_tag] = cast(Any, receipt)
        channel.message_id_delivery_tag[message_id] = channel.delivery_tag
        receipt.listen(lambda _: channel.message_id_delivery_tag.pop(message_id, None))
        if channel.is_closed:  # while the write waited for room
            receipt.settle("unknown")
        return receipt

    def _end(self, closing: object) -> None:
        """The channel is lost, and with it the answers that are missing."""
        confirmations: list[Any] = list(self._channel.confirmations.values())
        for receipt in confirmations:
            if isinstance(receipt, Receipt):
                receipt.settle("unknown")


async def wait_for_answers(
    receipts: Sequence[Receipt], at_most_seconds: float, quiet_seconds: float | None = None
) -> None:
    """Return when all are answered, when no answer came for a quiet period, or after the time given at the most."""
    missing = sum(receipt.answer is None for receipt in receipts)
    complete = asyncio.Event()

    def count(_: Receipt) -> None:
        nonlocal missing
        missing -= 1
        if not missing:
            complete.set()

    for receipt in receipts:
        if receipt.answer is None:
            receipt.listen(count)
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + at_most_seconds, quiet_seconds or at_most_seconds
    before = None
    while missing and missing != before and (now := loop.time()) < end:
        before = missing
        with suppress(TimeoutError):
            async with asyncio.timeout_at(min(end, now + pause)):
                await complete.wait()


@lru_cache(maxsize=1024)
def _publish_frame(number: int, exchange: str, routing_key: str) -> bytes:
    publish = commands.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True)
    return frame.marshal(publish, number)
