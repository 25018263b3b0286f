"""Encoding pictures and storing them in the bucket."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import structlog

from chassis.backoff import Backoff, retry
from chassis.errors import StorageUnavailableError
from chassis.storage import Storage
from darkroom_contracts.api import JobInput
from darkroom_contracts.objects import CONTENT_TYPES, StoredOutput, output_key
from darkroom_contracts.pictures import Origin
from gpu_consumer import metrics
from gpu_consumer.pictures import png
from gpu_consumer.pictures.origin import origin_of
from gpu_consumer.protocol import Picture, Ready, RenderedImage

ENCODERS = 2
"""Pictures of a job encoded at a time: the event loop and the render process need the processor, too."""
TRIES = 3
BACKOFF = Backoff(0.4, 1.0)
"""Between the tries within one attempt. A longer outage is left to the retry lanes."""

log = structlog.get_logger()


class Pictures:
    """Stores the pictures of jobs."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._encoders = ThreadPoolExecutor(ENCODERS, thread_name_prefix="encode")

    async def store(
        self, job_id: UUID, model: str, wanted: JobInput, pictures: tuple[Picture, ...], ready: Ready
    ) -> tuple[StoredOutput, ...]:
        """Encode and store the pictures of a job. Raises StorageUnavailableError when S3 stays away."""
        return tuple(await asyncio.gather(*(self._store(job_id, model, wanted, one, ready) for one in pictures)))

    async def _store(self, job_id: UUID, model: str, wanted: JobInput, picture: Picture, ready: Ready) -> StoredOutput:
        image, origin = picture.image, origin_of(ready, picture)
        with metrics.PHASE_SECONDS.labels(metrics.Phase.ENCODE).time():
            loop = asyncio.get_running_loop()
            body, digest = await loop.run_in_executor(self._encoders, _encode, image, wanted, model, origin)
        output = StoredOutput(
            index=picture.index,
            key=output_key(job_id, picture.index, digest, wanted.output_format),
            content_type=CONTENT_TYPES[wanted.output_format],
            width=image.width,
            height=image.height,
            size_bytes=len(body),
            sha256=digest,
            seed=image.seed,
        )
        with metrics.PHASE_SECONDS.labels(metrics.Phase.PUT).time():
            await self._put(output, body)
        return output

    async def _put(self, output: StoredOutput, body: bytes) -> None:
        await retry(
            lambda: self._storage.put(output.key, body, output.content_type),
            on=StorageUnavailableError,
            backoff=BACKOFF,
            report=_report,
            tries=TRIES,
        )


def _report(error: Exception, pause: float) -> None:
    log.warning("storing failed", error=str(error), retry_seconds=round(pause, 2))


def _encode(image: RenderedImage, wanted: JobInput, model: str, origin: Origin) -> tuple[bytes, str]:
    body = png.encode(image, wanted, model, origin)
    return body, hashlib.sha256(body).hexdigest()
