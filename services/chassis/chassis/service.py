"""The frame of a service process: its HTTP server and its loops, run until SIGTERM and drained in order.

A service is a package with `settings.Settings`, `app.open_app` and a `__main__` that calls `main` with both. On SIGTERM
or SIGINT readiness turns off and the loops finish their current round; then the server finishes its open requests; then
`open_app` closes what both used.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from chassis import logs
from chassis.errors import FatalError
from chassis.health import Health
from chassis.settings import Address, ServiceSettings, SettingsError, load
from darkroom_contracts.models import CatalogueError

log = structlog.get_logger()

GRACEFUL_SHUTDOWN_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open. Longer than any proxy in front keeps its own: a request that the proxy sends
while the service closes the connection is lost, and a POST is not sent again."""
GARBAGE_THRESHOLDS = (20_000, 20, 50)
"""Allocations before a collection of the youngest generation, and collections before one of the next older generation.
Python's defaults of 700, 10 and 10 collect several times within a single batch of requests."""
BAD_SETTINGS_EXIT_CODE = 64  # EX_USAGE of sysexits.h


class Runnable(Protocol):
    """A loop that runs until it is stopped, and then drains."""

    async def run(self, stop: asyncio.Event) -> None: ...


@dataclass(frozen=True)
class App:
    """The parts of a service that serve. They live as long as the context that `open_app` returns."""

    http: ASGIApp
    health: Health
    loops: Sequence[Runnable] = ()


S = TypeVar("S", bound=ServiceSettings)
OpenApp = Callable[[S], AbstractAsyncContextManager[App]]


def main(name: str, settings_type: type[S], open_app: OpenApp[S]) -> None:
    """Run a service until SIGTERM or SIGINT.

    Bad settings and a bad catalogue exit with BAD_SETTINGS_EXIT_CODE and one line for each mistake on stderr, a
    FatalError with its own code.
    """
    try:
        settings = load(settings_type)
        logs.configure(name, settings.log)
        uvloop.run(_run(settings, open_app))
    except (SettingsError, CatalogueError) as error:
        print(f"Some settings are missing or wrong:\n{error}", file=sys.stderr)  # noqa: T201 - logs are set up by the settings
        raise SystemExit(BAD_SETTINGS_EXIT_CODE) from None
    except FatalError as error:
        log.error("service can't go on", code=error.code, error=str(error))  # noqa: TRY400 - foreseen, no traceback
        raise SystemExit(error.exit_code) from None


async def _run(settings: S, open_app: OpenApp[S]) -> None:
    async with open_app(settings) as app:
        await serve(app, settings.address)


async def serve(app: App, address: Address) -> None:
    """Serve until a signal arrives, then drain. Raises what a loop raises, after stopping everything else."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = http_server(app.http, address)
    _tune_garbage_collection()
    serving = asyncio.create_task(server.serve())
    working = [asyncio.create_task(loop.run(stop)) for loop in app.loops]
    stopping = asyncio.create_task(stop.wait())
    log.info("service started", host=address.host, port=address.port)
    # Whichever ends first ends the service: a signal, a loop that raised, or a server that could not bind.
    await asyncio.wait([serving, stopping, *working], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    app.health.draining = True
    log.info("service draining")
    results = await asyncio.gather(*working, return_exceptions=True)
    server.should_exit = True
    results += await asyncio.gather(serving, return_exceptions=True)
    stopping.cancel()
    log.info("service stopped")
    for result in results:
        if isinstance(result, BaseException):
            raise result


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`, which drains the loops before it stops the server."""
        yield


def http_server(app: ASGIApp, address: Address) -> uvicorn.Server:
    """Return the HTTP server of an application, not started yet."""
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


def _tune_garbage_collection() -> None:
    """Freeze the objects that exist at the start: they stay, and every full collection would visit all of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
