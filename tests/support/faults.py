"""Runs a service that strikes itself: `python -m tests.support.faults SERVICE ACTION POINT`.

It is the real service, and a worker renders with the stand-in. The adapter at the point is wrapped here, in the tests'
own entry: the product has no switch.
"""

import os
import runpy
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tests.support.renderers import use_stand_in

ACTIONS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}
STRUCK_STEP = 10
"""The step of a render after which `while_rendering` strikes."""

Method = Callable[..., Awaitable[Any]]
Strike = Callable[[], None]


@dataclass(frozen=True)
class Point:
    """A method of a class, or a function of a module, and how a strike is woven into it."""

    module: str
    owner: str | None
    method: str
    weave: Callable[[Method, Strike], Method]


def before(method: Method, strike: Strike) -> Method:
    async def struck(*arguments: Any, **named: Any) -> Any:
        strike()
        return await method(*arguments, **named)

    return struck


def after(method: Method, strike: Strike) -> Method:
    async def struck(*arguments: Any, **named: Any) -> Any:
        answer = await method(*arguments, **named)
        strike()
        return answer

    return struck


def after_the_second(method: Method, strike: Strike) -> Method:
    calls = 0

    async def struck(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        answer = await method(*arguments, **named)
        calls += 1
        if calls == 2:
            strike()
        return answer

    return struck


def at_a_step(render: Method, strike: Strike) -> Method:
    async def struck(process: Any, wanted: Any, on_step: Callable[[Any], None], **named: Any) -> Any:
        def count(step: Any) -> None:
            on_step(step)
            if step.step >= STRUCK_STEP:
                strike()

        return await render(process, wanted, count, **named)

    return struck


POINTS = {
    "before_claim": Point("gpu_consumer.job.store", "JobStore", "claim", before),
    "after_second_claim": Point("gpu_consumer.job.store", "JobStore", "claim", after_the_second),
    "while_rendering": Point("gpu_consumer.renderer.process", "RenderProcess", "render", at_a_step),
    "before_upload": Point("chassis.storage", "Storage", "put", before),
    "after_upload": Point("chassis.storage", "Storage", "put", after),
    "after_settle": Point("gpu_consumer.job.store", "JobStore", "succeed", after),
    "after_publish": Point("gateway.store", "OutboxStore", "delete", before),
    "before_attempt_is_committed": Point("webhooks.dispatch.store", None, "begin_attempts", after),
    "before_send": Point("webhooks.sending.sender", "Sender", "send", before),
    "after_send": Point("webhooks.sending.sender", "Sender", "send", after),
    "before_complete": Point("webhooks.dispatch.store", None, "complete", before),
    "before_completion_is_committed": Point("webhooks.dispatch.store", None, "complete", after),
    "after_complete": Point("webhooks.dispatch.completing", "Completer", "_complete", after),
}


def arm(point: Point, strike: Strike) -> None:
    module = import_module(point.module)
    owner = module if point.owner is None else getattr(module, point.owner)
    setattr(owner, point.method, point.weave(getattr(owner, point.method), strike))


def main(service: str, action: str, point: str) -> None:
    arm(POINTS[point], lambda: os.kill(os.getpid(), ACTIONS[action]))
    if service == "gpu_consumer":
        use_stand_in()
    sys.argv = [service]
    runpy.run_module(service, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
