"""Suspends a quorum queue's leader: it takes no message, confirms none and answers nobody, while the broker lives on.

The queue's Raft process is stopped from inside its own Erlang node, as a stuck disk or a bug would stop it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from darkroom_local.program import base_environment
from tests.support.endpoints import Broker
from tests.support.servers import DockerServer, LocalServer, SharedServer


@asynccontextmanager
async def suspended_queue(broker: Broker, vhost_url: str, queue: str) -> AsyncIterator[None]:
    """Suspend the leader of a queue; it goes on at the end, and then does what it was asked for.

    The broker is one that the tests started themselves: `suspendable_rabbitmq`.
    """
    await _order(broker, vhost_url, queue, "suspend")
    try:
        yield
    finally:
        await _order(broker, vhost_url, queue, "resume")


async def _order(broker: Broker, vhost_url: str, queue: str, act: Literal["suspend", "resume"]) -> None:
    vhost = urlsplit(vhost_url).path.lstrip("/")
    told = await evaluate(
        broker,
        f'{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)),'
        f" {{Name, _}} = amqqueue:get_pid(Queue), sys:{act}(whereis(Name)).",
    )
    if told.strip() != "ok":
        raise RuntimeError(f"the queue {queue} could not be ordered to {act}: {told}")


async def evaluate(broker: Broker, expression: str) -> str:
    """Run an Erlang expression in the broker's node, and return what it prints."""
    match broker.server:
        case LocalServer() | SharedServer() as server:
            return await _evaluate_locally(server, expression)
        case DockerServer() as server:
            return await asyncio.to_thread(server.run, "rabbitmqctl", "eval", expression)
        case _:
            raise RuntimeError("this broker came from the environment; ask for one by `suspendable_rabbitmq`")


async def _evaluate_locally(server: LocalServer | SharedServer, expression: str) -> str:
    (node,) = (program for program in server.part.programs() if program.name == "rabbitmq")
    process = await asyncio.create_subprocess_exec(
        str(Path(node.command[0]).with_name("rabbitmqctl")),
        "eval",
        expression,
        env={**base_environment(), **node.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode(errors="replace")
