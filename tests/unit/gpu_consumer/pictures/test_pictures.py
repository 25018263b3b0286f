"""Pictures are encoded and stored."""

import threading
import time
from io import BytesIO
from typing import Any, cast
from uuid import UUID

import pytest
from PIL import Image

from darkroom_contracts.api import JobInput
from darkroom_contracts.pictures import PICTURE_KEYWORD, Origin, decode
from gpu_consumer.pictures.pictures import ENCODERS, Pictures
from gpu_consumer.protocol import RenderedImage
from tests.support.models import picture, ready

INPUT = JobInput("a lighthouse", "", 2, 7.5, "ddim", 64, 64, 7, 8, "png")
JOB_ID = UUID(int=1)
PICTURES = tuple(picture(RenderedImage(64, 64, seed, bytes(64 * 64 * 3)), index=seed) for seed in range(8))


class Bucket:
    """chassis.storage.Storage, in memory."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.bodies: dict[str, bytes] = {}

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        self.keys.append(key)
        self.bodies[key] = body


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

    monkeypatch.setattr("gpu_consumer.pictures.png.encode", encode)
    bucket = Bucket()
    stored = await Pictures(cast(Any, bucket)).store(JOB_ID, "tiny", INPUT, PICTURES, ready())
    assert most == ENCODERS == 2
    assert [output.seed for output in stored] == list(range(8))
    assert sorted(bucket.keys) == sorted(output.key for output in stored)


async def test_each_picture_tells_its_own_making() -> None:
    """Each picture's provenance is its own: tiles and precision of a sibling are not in it."""
    bucket = Bucket()
    tiled = picture(PICTURES[0].image, index=0, tiled=True, vae_dtype="float16")
    whole = picture(PICTURES[1].image, index=1, tiled=False, vae_dtype="float32")
    await Pictures(cast(Any, bucket)).store(JOB_ID, "tiny", INPUT, (tiled, whole), ready())
    origins = [_origin_in(bucket.bodies[key]) for key in sorted(bucket.keys)]
    assert [(origin.tiled, origin.vae_dtype) for origin in origins] == [(True, "float16"), (False, "float32")]


def _origin_in(body: bytes) -> Origin:
    with Image.open(BytesIO(body)) as opened:
        origin = decode(opened.text[PICTURE_KEYWORD]).origin  # type: ignore[attr-defined]
    assert origin is not None
    return origin
