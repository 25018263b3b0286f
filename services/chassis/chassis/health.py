"""Health: /healthz (the process is alive), /readyz (it can do its work) and /metrics (Prometheus)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from darkroom_contracts.api import Liveness, Readiness, encode

log = structlog.get_logger()

CHECK_TIMEOUT_SECONDS = 3.0
Check = Callable[[], Awaitable[None]]
"""Raises when the part that it checks cannot be used."""


class Health:
    """The named checks of a service. It is ready when all of them pass and it is not draining."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self.draining = False

    def endpoints(self) -> dict[str, Callable[[Request], Awaitable[Response]]]:
        """Return the endpoints of HEALTH_ROUTES by name."""
        return {"live": self._live, "ready": self._ready, "metrics": self._metrics}

    async def _live(self, request: Request) -> Response:
        return _json(Liveness())

    async def _ready(self, request: Request) -> Response:
        results = dict(zip(self._checks, await asyncio.gather(*map(_outcome, self._checks.values())), strict=True))
        if self.draining:
            results["draining"] = "this process is shutting down"
        ready = all(result == "ok" for result in results.values())
        return _json(Readiness(ready, results), 200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _json(body: Liveness | Readiness, status: int = 200) -> Response:
    return Response(encode(body), status, media_type="application/json")


async def _outcome(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await check()
    except Exception as error:
        log.debug("readiness check failed", exc_info=error)
        return str(error) or type(error).__name__
    return "ok"
