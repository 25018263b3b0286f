"""Running a service: its HTTP server and its loops until SIGTERM, then an orderly drain.

On SIGTERM or SIGINT readiness turns off and the loops finish what they are doing; then the server finishes its open
requests; then the caller closes what both stood on.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from chassis.health import Health
from chassis.settings import Port, SettingsError
from darkroom_contracts.models import CatalogueError

log = structlog.get_logger()

GRACEFUL_SHUTDOWN_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
"""How long a connection may idle. Longer than any proxy in front keeps it: a connection that the service closes just as
the proxy sends a request down it costs that request, and a POST is not sent twice."""
GARBAGE_THRESHOLDS = (20_000, 20, 50)
"""New objects before a collection of the youngest generation, and collections before one of the next older. Python's
own 700, 10 and 10 collect the youngest several times within a single batch of requests."""
BAD_SETTINGS_EXIT_CODE = 64  # EX_USAGE of sysexits.h


class Runnable(Protocol):
    """Anything that works until told to stop and then drains."""

    async def run(self, stop: asyncio.Event) -> None: ...


class Address(msgspec.Struct, frozen=True):
    host: str
    port: Port


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the service's, which drains its loops before the server stops."""
        yield


async def serve(app: ASGIApp, address: Address, health: Health, loops: Sequence[Runnable] = ()) -> None:
    """Serve until a signal, then drain. Raises what a loop raises, after stopping everything else."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = http_server(app, address)
    _spare_the_collector()
    serving = asyncio.create_task(server.serve())
    working = [asyncio.create_task(loop.run(stop)) for loop in loops]
    stopping = asyncio.create_task(stop.wait())
    log.info("service started", host=address.host, port=address.port)
    # Whichever ends first ends the service: a signal, a loop that broke, or a server that could not bind.
    await asyncio.wait([serving, stopping, *working], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    health.draining = True
    log.info("service draining")
    results = await asyncio.gather(*working, return_exceptions=True)
    server.should_exit = True
    results += await asyncio.gather(serving, return_exceptions=True)
    stopping.cancel()
    log.info("service stopped")
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _spare_the_collector() -> None:
    """Freeze what was loaded so far: it stays anyway, and each full collection would look through all of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def http_server(app: ASGIApp, address: Address) -> uvicorn.Server:
    """What answers a service's HTTP requests, ready to serve."""
    return _Server(
        uvicorn.Config(
            app,
            host=address.host,
            port=address.port,
            loop="none",
            http="httptools",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
        )
    )


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a service's main coroutine on uvloop."""
    uvloop.run(main)


@contextmanager
def refusing_bad_settings() -> Iterator[None]:
    """Where settings and catalogue are read: tell every mistake on stderr and leave with BAD_SETTINGS_EXIT_CODE."""
    try:
        yield
    except (SettingsError, CatalogueError) as error:
        print(f"Some settings are missing or wrong:\n{error}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
        raise SystemExit(BAD_SETTINGS_EXIT_CODE) from None
