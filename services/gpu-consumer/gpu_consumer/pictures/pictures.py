"""From pixels to objects in the bucket."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

import structlog

from chassis.errors import StorageUnavailableError
from chassis.storage import Storage
from darkroom_contracts.api import JobInput
from darkroom_contracts.objects import CONTENT_TYPES, StoredOutput, output_key
from darkroom_contracts.pictures import Origin
from gpu_consumer import metrics
from gpu_consumer.job.receipts import origin_of
from gpu_consumer.job.store import Claimed
from gpu_consumer.pictures import png
from gpu_consumer.protocol import Picture, Ready, RenderedImage

ENCODERS = 2
"""Pictures of a job encoded at a time: the event loop and the render process need the processor, too."""
PAUSES_SECONDS = (0.2, 1.0)
"""Between the tries within one attempt; a longer outage is for the retry lanes."""

log = structlog.get_logger()


class Pictures:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._encoders = ThreadPoolExecutor(ENCODERS, thread_name_prefix="encode")

    async def store(
        self, claimed: Claimed, wanted: JobInput, pictures: tuple[Picture, ...], ready: Ready
    ) -> tuple[StoredOutput, ...]:
        """Encode and store them all. Raises StorageUnavailableError when S3 stays away."""
        stored = [self._store(claimed, wanted, picture, origin_of(ready, picture)) for picture in pictures]
        return tuple(await asyncio.gather(*stored))

    async def _store(self, claimed: Claimed, wanted: JobInput, picture: Picture, origin: Origin) -> StoredOutput:
        image = picture.image
        with metrics.PHASE_SECONDS.labels(metrics.Phase.ENCODE).time():
            loop = asyncio.get_running_loop()
            body, digest = await loop.run_in_executor(self._encoders, _encode, image, wanted, claimed.model, origin)
        output = StoredOutput(
            index=picture.index,
            key=output_key(claimed.job_id, picture.index, digest, wanted.output_format),
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
        for pause in PAUSES_SECONDS:
            try:
                return await self._storage.put(output.key, body, output.content_type)
            except StorageUnavailableError as error:
                log.warning("storing failed", error=str(error), retry_seconds=pause)
                await asyncio.sleep(pause)
        return await self._storage.put(output.key, body, output.content_type)


def _encode(image: RenderedImage, wanted: JobInput, model: str, origin: Origin) -> tuple[bytes, str]:
    body = png.encode(image, wanted, model, origin)
    return body, hashlib.sha256(body).hexdigest()
