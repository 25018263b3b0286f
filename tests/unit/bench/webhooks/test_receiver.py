import asyncio

from bench.webhooks.receiver import RESPONSE, open_receivers
from tests.support.waiting import eventually


def request(number: int, body: bytes) -> bytes:
    head = f"POST /hook/{number} HTTP/1.1\r\nhost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_requests_are_counted_and_answered() -> None:
    """In pieces or several at once; the first arrival of a number counts."""
    async with open_receivers(2) as receivers:
        port = int(receivers.urls[1].split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        first, second = request(7, b'{"a": 1}'), request(8, b"") + request(7, b"x")
        writer.write(first[:30])
        await writer.drain()
        writer.write(first[30:] + second)
        assert await reader.readexactly(3 * len(RESPONSE)) == 3 * RESPONSE
        assert receivers.arrivals.requests == 3
        assert sorted(receivers.arrivals.times) == [7, 8]
        writer.close()


async def test_hung_receivers_never_answer() -> None:
    """Each connection with a request is counted while it is open; each URL is another origin."""
    async with open_receivers(1) as receivers:
        url, other = receivers.hung_urls(2)
        assert url.split("/")[2] != other.split("/")[2]
        host, port = url.split("/")[2].split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(request(1, b"x") + request(2, b"y"))
        await eventually(lambda: receivers.arrivals.hanging == 1)
        writer.close()
        await eventually(lambda: receivers.arrivals.hanging == 0)
        assert receivers.arrivals.most_hanging == 1
