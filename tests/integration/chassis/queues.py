"""Access to the messages of queues."""

from aio_pika.abc import AbstractIncomingMessage

from chassis.broker import Broker


async def taken_from(broker: Broker, queue: str) -> list[AbstractIncomingMessage]:
    """Take and acknowledge all messages that wait in a queue."""
    channel = await broker.channel()
    declared = await channel.get_queue(queue)
    messages = []
    while (message := await declared.get(fail=False)) is not None:
        await message.ack()
        messages.append(message)
    await channel.close()
    return messages
