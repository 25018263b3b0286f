"""The conversation with a render process that the test plays."""

import asyncio
from typing import Any

from gpu_consumer import protocol
from gpu_consumer.renderer.process import Limits, RenderProcess
from tests.support.models import job_input, load_of, picture, rendered

SILENCE_SECONDS = 0.4
IMAGE = protocol.RenderedImage(1, 1, 7, b"rgb")


class SlowChild:
    """A child that sends each event shortly before its silence would be too long."""

    returncode = None
    pid = 1
    line_count = 0

    def __init__(self, *events: protocol.Event) -> None:
        self._events = iter(events)

    async def send(self, command: protocol.Command) -> None:
        """Ignore the request."""

    async def receive(self) -> protocol.Event:
        await asyncio.sleep(0.6 * SILENCE_SECONDS)
        return next(self._events)


async def test_each_picture_is_a_sign_of_life() -> None:
    """A process whose events come in time is not killed, however long it renders; each picture is passed on."""
    pictures = [picture(IMAGE, index=index) for index in range(3)]
    child: Any = SlowChild(*pictures, rendered())
    process = RenderProcess(load_of("/models/tiny"), Limits(step=SILENCE_SECONDS))
    process._child = child
    passed_on: list[protocol.Picture] = []
    assert await process.render(job_input(), lambda step: None, on_picture=passed_on.append) == rendered()
    assert passed_on == pictures
