"""From pixels to objects in the bucket."""

import threading
import time
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from contracts.api import JobInput
from gpu_consumer.pictures import ENCODERS, Pictures
from gpu_consumer.receipts import origin_of
from gpu_consumer.render.protocol import RenderedImage
from gpu_consumer.store import Claimed
from tests.support.models import ready, rendered

INPUT = JobInput("a lighthouse", "", 2, 7.5, "ddim", 64, 64, 7, 8, "png")
CLAIMED = Claimed(UUID(int=1), 1, uuid4(), 1, "tiny", b"{}", None)
IMAGES = tuple(RenderedImage(64, 64, seed, bytes(64 * 64 * 3)) for seed in range(8))


class Bucket:
    """chassis.storage.Storage, in memory."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        self.keys.append(key)


async def test_two_threads_encode_however_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a job's pictures are stored, and never more than two are encoded at a time."""
    running, most, lock = 0, 0, threading.Lock()

    def encode(*_: Any) -> bytes:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return b"a picture"

    monkeypatch.setattr("gpu_consumer.png.encode", encode)
    bucket = Bucket()
    stored = await Pictures(cast(Any, bucket)).store(CLAIMED, INPUT, IMAGES, origin_of(ready(), rendered()))
    assert most == ENCODERS == 2
    assert [output.seed for output in stored] == list(range(8))
    assert sorted(bucket.keys) == sorted(output.key for output in stored)
