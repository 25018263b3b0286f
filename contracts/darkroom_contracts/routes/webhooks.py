"""The routes of webhooks: endpoints, and the log of deliveries."""

from http import HTTPMethod

from darkroom_contracts.api import Scope
from darkroom_contracts.api.webhook_deliveries import (
    RecoverReply,
    RecoverRequest,
    WebhookDelivery,
    WebhookDeliveryDetail,
    WebhookDeliveryList,
    WebhookDeliveryQuery,
)
from darkroom_contracts.api.webhook_endpoints import (
    EndpointTestReply,
    RotationQuery,
    WebhookEndpoint,
    WebhookEndpointChange,
    WebhookEndpointList,
    WebhookEndpointQuery,
    WebhookEndpointRequest,
    WebhookEndpointStats,
    WebhookEndpointWithSecret,
)
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes.route import AUTHENTICATED, OF_BODIES, Header, Response, Route, Service

IMPLICIT = "implicit"
"""Stands for the id of the tenant's implicit endpoint in paths and queries."""

_ENDPOINTS = "/v1/webhook-endpoints"
_ENDPOINT = _ENDPOINTS + "/{id}"
_DELIVERIES = "/v1/webhook-deliveries"
_DELIVERY = _DELIVERIES + "/{id:uuid}"
_LOCATION = Header("Location", "Path of the endpoint.")
_OF_ONE = (*AUTHENTICATED, ApiError.NOT_FOUND)

CREATE_ENDPOINT = Route(
    name="create_endpoint",
    method=HTTPMethod.POST,
    path=_ENDPOINTS,
    summary="Create a webhook endpoint.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    request=WebhookEndpointRequest,
    responses={201: Response("The endpoint with its secret.", WebhookEndpointWithSecret, headers=(_LOCATION,))},
    problems=(*AUTHENTICATED, *OF_BODIES, ApiError.INVALID_REQUEST, ApiError.ENDPOINT_LIMIT, ApiError.RATE_LIMITED),
)
LIST_ENDPOINTS = Route(
    name="list_endpoints",
    method=HTTPMethod.GET,
    path=_ENDPOINTS,
    summary="List the webhook endpoints, the implicit one included.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    query=WebhookEndpointQuery,
    responses={200: Response("All endpoints, without secrets.", WebhookEndpointList)},
    problems=(*AUTHENTICATED, ApiError.INVALID_REQUEST),
)
GET_ENDPOINT = Route(
    name="get_endpoint",
    method=HTTPMethod.GET,
    path=_ENDPOINT,
    summary="Return a webhook endpoint with its secret. The id may be `implicit`, here and below.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    responses={200: Response("The endpoint.", WebhookEndpointWithSecret)},
    problems=_OF_ONE,
)
CHANGE_ENDPOINT = Route(
    name="change_endpoint",
    method=HTTPMethod.PATCH,
    path=_ENDPOINT,
    summary="Change, pause or enable a webhook endpoint.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    request=WebhookEndpointChange,
    responses={200: Response("The endpoint as it is now.", WebhookEndpoint)},
    problems=(*_OF_ONE, *OF_BODIES, ApiError.INVALID_REQUEST),
)
DELETE_ENDPOINT = Route(
    name="delete_endpoint",
    method=HTTPMethod.DELETE,
    path=_ENDPOINT,
    summary="Delete a webhook endpoint. Its waiting deliveries are canceled.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    responses={204: Response("The endpoint is deleted.")},
    problems=(*_OF_ONE, ApiError.IMPLICIT_ENDPOINT),
)
TEST_ENDPOINT = Route(
    name="test_endpoint",
    method=HTTPMethod.POST,
    path=_ENDPOINT + "/test",
    summary="Send a test event, `webhook_endpoint.test`. A paused endpoint receives it when it is enabled.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    responses={202: Response("The event is to be sent.", EndpointTestReply)},
    problems=(*_OF_ONE, ApiError.IMPLICIT_ENDPOINT, ApiError.ENDPOINT_INACTIVE, ApiError.RATE_LIMITED),
)
ROTATE_SECRET = Route(
    name="rotate_secret",
    method=HTTPMethod.POST,
    path=_ENDPOINT + "/rotate-secret",
    summary="Replace the secret and the key pair. For 24 hours deliveries are signed with the previous ones too.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    query=RotationQuery,
    responses={200: Response("The endpoint with its new secret.", WebhookEndpointWithSecret)},
    problems=(*_OF_ONE, ApiError.INVALID_REQUEST, ApiError.ROTATION_UNDER_WAY),
)
GET_ENDPOINT_STATS = Route(
    name="get_endpoint_stats",
    method=HTTPMethod.GET,
    path=_ENDPOINT + "/stats",
    summary="Return how the deliveries of the last 24 hours went.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    responses={200: Response("The statistics.", WebhookEndpointStats)},
    problems=_OF_ONE,
)
RECOVER_ENDPOINT = Route(
    name="recover_endpoint",
    method=HTTPMethod.POST,
    path=_ENDPOINT + "/recover",
    summary="Send deliveries since a moment again, with the same ids.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    request=RecoverRequest,
    responses={200: Response("The deliveries are due.", RecoverReply)},
    problems=(*_OF_ONE, *OF_BODIES, ApiError.INVALID_REQUEST, ApiError.ENDPOINT_INACTIVE, ApiError.RATE_LIMITED),
)
LIST_DELIVERIES = Route(
    name="list_deliveries",
    method=HTTPMethod.GET,
    path=_DELIVERIES,
    summary="List webhook deliveries, the newest first.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    query=WebhookDeliveryQuery,
    responses={200: Response("A page of deliveries.", WebhookDeliveryList)},
    problems=(*AUTHENTICATED, ApiError.INVALID_REQUEST),
)
GET_DELIVERY = Route(
    name="get_delivery",
    method=HTTPMethod.GET,
    path=_DELIVERY,
    summary="Return a webhook delivery with its attempts and its body.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    responses={200: Response("The delivery.", WebhookDeliveryDetail)},
    problems=_OF_ONE,
)
REDELIVER = Route(
    name="redeliver",
    method=HTTPMethod.POST,
    path=_DELIVERY + "/redeliver",
    summary="Send a webhook delivery again, with the same id and body, on a new schedule.",
    service=Service.WEBHOOKS,
    scope=Scope.CLIENT,
    responses={202: Response("The delivery is due.", WebhookDelivery)},
    problems=(*_OF_ONE, ApiError.DELIVERY_IN_FLIGHT, ApiError.ENDPOINT_INACTIVE, ApiError.RATE_LIMITED),
)

WEBHOOK_ROUTES = (
    CREATE_ENDPOINT,
    LIST_ENDPOINTS,
    GET_ENDPOINT,
    CHANGE_ENDPOINT,
    DELETE_ENDPOINT,
    TEST_ENDPOINT,
    ROTATE_SECRET,
    GET_ENDPOINT_STATS,
    RECOVER_ENDPOINT,
    LIST_DELIVERIES,
    GET_DELIVERY,
    REDELIVER,
)
"""The routes that the service answers."""
