"""Verification on a running stack: a picture is rendered again through the public client and compared."""

import asyncio
from io import BytesIO

import httpx2
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from darkroom import Client as PublicClient
from darkroom.errors import NotVerifiableError
from darkroom.verification import Verification, verify
from darkroom_contracts.api import Job
from tests.support.http_client import Client
from tests.support.stack import MODEL, Stack

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("workers")]


class Edge(httpx2.HTTPTransport):
    """Transport that sends writes to the gateway, pictures to S3 under its own host, and the rest to status."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self._gateway = httpx2.URL(stack.gateway.url)
        self._s3 = httpx2.URL(stack.places.bucket.endpoint)
        self._pictures = f"/{stack.places.bucket.name}/"

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            request.url = request.url.copy_with(host=self._gateway.host, port=self._gateway.port)
        elif request.url.path.startswith(self._pictures):
            request.url = request.url.copy_with(host=self._s3.host, port=self._s3.port)
            request.headers["Host"] = self._s3.netloc.decode()
        return super().handle_request(request)


async def verified(stack: Stack, picture: bytes) -> Verification:
    key = await stack.key()

    def work() -> Verification:
        with PublicClient(stack.status.url, key, transport=Edge(stack)) as client:
            return verify(client, picture, timeout_seconds=60)

    return await asyncio.to_thread(work)


async def pictures_of(client: Client, job: Job) -> list[bytes]:
    return [(await client.download(output)).content for output in job.outputs]


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
async def test_pictures_of_one_job_are_verified_one_by_one(stack: Stack, client: Client, output_format: str) -> None:
    """Every picture of a job is rendered again as a job of its own, byte for byte."""
    submitted = await client.submit(
        MODEL, seed=21, num_images=2, prompt="ein Kätzchen\n🙂, 東京: <b>", output_format=output_format
    )
    (job,) = await client.succeeded(submitted)
    pictures = await pictures_of(client, job)
    assert pictures[0] != pictures[1]
    for index, picture in enumerate(pictures):
        found = await verified(stack, picture)
        assert (found.verdict, found.changed) == ("identical", [])
        assert (found.picture.input.seed, found.picture.origin is not None) == (21 + index, True)


async def test_a_changed_pixel_is_found(stack: Stack, client: Client) -> None:
    """A change of one pixel by one is found, although the record of the picture is unchanged."""
    (job,) = await client.succeeded(await client.submit(MODEL, seed=22))
    found = await verified(stack, tampered((await pictures_of(client, job))[0]))
    assert (found.verdict, found.pixels) == ("different", 64 * 64)
    assert (found.differing_pixels, found.largest_difference) == (1, 1)


async def test_a_picture_without_a_record_costs_no_render(stack: Stack, client: Client) -> None:
    """A picture without parameters is refused before a job is submitted."""
    (job,) = await client.succeeded(await client.submit(MODEL, seed=23))
    with pytest.raises(NotVerifiableError, match="holds no parameters"):
        await verified(stack, silenced((await pictures_of(client, job))[0]))


def tampered(picture: bytes) -> bytes:
    with Image.open(BytesIO(picture)) as image:
        red, *rest = image.crop((5, 7, 6, 8)).tobytes()
        image.putpixel((5, 7), (red ^ 1, *rest))
        chunks = PngInfo()
        for keyword, text in image.info.items():
            chunks.add_itxt(str(keyword), str(text))
        return saved(image, chunks)


def silenced(picture: bytes) -> bytes:
    with Image.open(BytesIO(picture)) as image:
        return saved(image, PngInfo())


def saved(image: Image.Image, chunks: PngInfo) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "png", pnginfo=chunks)
    return buffer.getvalue()
