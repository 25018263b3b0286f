"""The baseline of the benchmarks: a Starlette and msgspec echo on the HTTP server that the services use.

POST decodes the body as a job request and encodes it again, GET returns a small constant. Neither stores anything.
"""

import msgspec
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chassis.health import Health
from chassis.http import build_health_app
from chassis.service import App, serve
from chassis.settings import Address
from darkroom_contracts.api import JobRequest

_decoder = msgspec.json.Decoder(JobRequest)


async def echo(request: Request) -> Response:
    return Response(msgspec.json.encode(_decoder.decode(await request.body())), media_type="application/json")


async def constant(request: Request) -> Response:
    return Response(msgspec.json.encode({"status": "ok"}), media_type="application/json")


def app(health: Health) -> Starlette:
    return Starlette(
        routes=[
            Route("/echo", echo, methods=["POST"]),
            Route("/echo", constant, methods=["GET"]),
            *build_health_app(health).routes,
        ]
    )


def main(port: int) -> None:
    health = Health({})
    uvloop.run(serve(App(app(health), health), Address("127.0.0.1", port)))


if __name__ == "__main__":
    import sys

    main(int(sys.argv[1]))
