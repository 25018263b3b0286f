"""The routes that every service answers on its own port, and that the edge does not expose."""

from http import HTTPMethod

from darkroom_contracts.api import Liveness, Readiness
from darkroom_contracts.routes.route import Response, Route

HEALTH_ROUTES = (
    Route(
        name="live",
        method=HTTPMethod.GET,
        path="/healthz",
        summary="Report that the process is alive.",
        service=None,
        scope=None,
        responses={200: Response("The process is alive.", Liveness)},
    ),
    Route(
        name="ready",
        method=HTTPMethod.GET,
        path="/readyz",
        summary="Report whether the service can do its work, by named checks.",
        service=None,
        scope=None,
        responses={
            200: Response("The service is ready.", Readiness),
            503: Response("A check failed, or the service is shutting down.", Readiness),
        },
    ),
    Route(
        name="metrics",
        method=HTTPMethod.GET,
        path="/metrics",
        summary="Return the metrics for Prometheus.",
        service=None,
        scope=None,
        responses={200: Response("The metrics.", media_type="text/plain; version=1.0.0; charset=utf-8")},
    ),
)
