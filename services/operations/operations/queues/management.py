"""The depths of RabbitMQ's queues by its management API."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote, unquote, urlsplit

import httpx2
import msgspec
from msgspec import Meta

from chassis.errors import UnavailableError
from operations.queues.records import Depth

TIMEOUT_SECONDS = 3.0
PAGE = 500
"""Most queues that are read: the largest page of the API."""
MAX_BYTES = 1024 * 1024
"""Most bytes of an answer that are read; a queue takes some 150."""
NAMED = "darkroom."
"""Part of the names of all durable queues."""
COLUMNS = "name,messages_ready,messages_unacknowledged,messages_dlx"

Count = Annotated[int, Meta(ge=0)]


class ManagementUnavailableError(UnavailableError):
    """RabbitMQ's management API can't be used."""


class _Queue(msgspec.Struct, frozen=True):
    name: str
    messages_ready: Count | None = None
    messages_unacknowledged: Count | None = None
    messages_dlx: Count | None = None


class _Page(msgspec.Struct, frozen=True):
    items: tuple[_Queue, ...]


_decode = msgspec.json.Decoder(_Page).decode


class ManagementDepths:
    """Asks the management API, which knows unacknowledged messages and those that are being dead-lettered, too."""

    def __init__(self, url: str, amqp_url: str) -> None:
        """`url` has the user and the password of the API, `amqp_url` the virtual host."""
        virtual_host = unquote(urlsplit(amqp_url).path[1:]) or "/"
        self._url = f"{url}/api/queues/{quote(virtual_host, safe='')}"

    async def read(self, queues: Sequence[str]) -> dict[str, Depth]:
        """Return the depths of those queues that exist. Raises ManagementUnavailableError."""
        page = await self._page()
        wanted = set(queues)
        return {
            queue.name: Depth(queue.messages_ready, queue.messages_unacknowledged, queue.messages_dlx)
            for queue in page.items
            if queue.name in wanted
        }

    async def _page(self) -> _Page:
        parameters: dict[str, str | int] = {"page": 1, "page_size": PAGE, "name": NAMED, "columns": COLUMNS}
        try:
            async with (
                httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT_SECONDS) as http,
                http.stream("GET", self._url, params=parameters) as response,
            ):
                response.raise_for_status()
                return _decode(await _body(response))
        except (httpx2.HTTPError, httpx2.InvalidURL, msgspec.DecodeError) as error:
            # Without the error's text, which has the URL with its password.
            raise ManagementUnavailableError(f"RabbitMQ's management API: {type(error).__name__}") from None


async def _body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise ManagementUnavailableError(f"RabbitMQ's management API answered more than {MAX_BYTES} bytes.")
    return bytes(body)
