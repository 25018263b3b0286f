"""/healthz (the process lives), /readyz (it can do its work) and /metrics (Prometheus)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

log = structlog.get_logger()

CHECK_TIMEOUT_SECONDS = 3.0
Check = Callable[[], Awaitable[None]]
"""Raises when the part it looks at can't be used."""


class Health:
    """Readiness is the sum of named checks; a draining service is not ready."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self.draining = False

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self._live, methods=["GET"]),
            Route("/readyz", self._ready, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
        ]

    async def _live(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _ready(self, request: Request) -> Response:
        results = dict(zip(self._checks, await asyncio.gather(*map(_outcome, self._checks.values())), strict=True))
        if self.draining:
            results["draining"] = "this process is shutting down"
        ready = all(result == "ok" for result in results.values())
        return JSONResponse({"ready": ready, "checks": results}, 200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _outcome(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await check()
    except Exception as error:
        log.debug("readiness check failed", exc_info=error)
        return str(error) or type(error).__name__
    return "ok"
