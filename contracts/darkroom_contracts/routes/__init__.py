"""The whole HTTP API as data: every endpoint with its service, scope, bodies and problems.

The services' routing, the tables of docs/api.md and the edge's configuration are held to it.
"""

from darkroom_contracts.routes.dead_letter_groups import GROUP_ROUTES
from darkroom_contracts.routes.dead_letters import DEAD_LETTER_ROUTES
from darkroom_contracts.routes.health import HEALTH_ROUTES
from darkroom_contracts.routes.jobs import (
    CANCEL_JOB,
    DELETE_JOB,
    GET_JOB,
    GET_OUTPUT,
    JOB_ROUTES,
    LIST_MODELS,
    RETRY_JOB,
    SUBMIT_JOB,
    job_urls,
    output_path,
)
from darkroom_contracts.routes.keys import AUDIT_ROUTES, KEY_ROUTES
from darkroom_contracts.routes.queues import QUEUE_ROUTES
from darkroom_contracts.routes.replays import REPLAY_ROUTES
from darkroom_contracts.routes.route import Header, Kind, Response, Route, Service
from darkroom_contracts.routes.webhooks import GET_ENDPOINT, IMPLICIT, WEBHOOK_ROUTES

ROUTES = (
    *JOB_ROUTES,
    *WEBHOOK_ROUTES,
    *DEAD_LETTER_ROUTES,
    *REPLAY_ROUTES,
    *QUEUE_ROUTES,
    *GROUP_ROUTES,
    *KEY_ROUTES,
    *AUDIT_ROUTES,
)
"""The routes that the edge exposes."""

__all__ = [
    "CANCEL_JOB",
    "DELETE_JOB",
    "GET_ENDPOINT",
    "GET_JOB",
    "GET_OUTPUT",
    "HEALTH_ROUTES",
    "IMPLICIT",
    "LIST_MODELS",
    "RETRY_JOB",
    "ROUTES",
    "SUBMIT_JOB",
    "Header",
    "Kind",
    "Response",
    "Route",
    "Service",
    "job_urls",
    "output_path",
]
