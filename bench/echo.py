"""The yardstick: a bare Starlette + msgspec echo on the server that the services run on.

It decodes the body into the request's Struct and encodes it again, or answers a small constant; it records nothing.
"""

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chassis.health import Health
from chassis.service import Address, run, serve
from darkroom_contracts.api import JobRequest

_decoder = msgspec.json.Decoder(JobRequest)


async def echo(request: Request) -> Response:
    return Response(msgspec.json.encode(_decoder.decode(await request.body())), media_type="application/json")


async def constant(request: Request) -> Response:
    return Response(msgspec.json.encode({"status": "ok"}), media_type="application/json")


def app(health: Health) -> Starlette:
    return Starlette(
        routes=[Route("/echo", echo, methods=["POST"]), Route("/echo", constant, methods=["GET"]), *health.routes()]
    )


def main(port: int) -> None:
    health = Health({})
    run(serve(app(health), Address("127.0.0.1", port), health))


if __name__ == "__main__":
    import sys

    main(int(sys.argv[1]))
