"""The documents' generated sections, held to the code."""

from importlib import import_module
from pathlib import Path

import msgspec
import pytest

from darkroom_contracts.api import CancelReply, Job, JobRequest, ModelList, Problem, Readiness
from darkroom_contracts.api.audit import AuditEntry, AuditList, AuditQuery
from darkroom_contracts.api.keys import (
    ApiKeyList,
    ApiKeyQuery,
    ApiKeyRequest,
    ApiKeyView,
    NewApiKey,
    RevocationRequest,
    RotationRequest,
)
from darkroom_contracts.api.queues import PauseReply, PauseRequest, QueueList, QueueQuery, ResumeReply
from darkroom_contracts.api.webhook_deliveries import (
    RecoverReply,
    RecoverRequest,
    WebhookAttempt,
    WebhookDeliveryDetail,
    WebhookDeliveryList,
    WebhookDeliveryQuery,
)
from darkroom_contracts.api.webhook_endpoints import (
    EndpointTestReply,
    RotationQuery,
    WebhookEndpointChange,
    WebhookEndpointList,
    WebhookEndpointQuery,
    WebhookEndpointRequest,
    WebhookEndpointStats,
    WebhookEndpointWithSecret,
)
from darkroom_contracts.api.workers import DrainReply, DrainRequest, WorkerList, WorkerQuery
from darkroom_local.services import Service, read_services
from tools.docs.documents import DOCUMENTS, generated
from tools.docs.fields import describe, fields_of
from tools.docs.settings import settings_of


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_is_what_the_code_generates(path: Path) -> None:
    """Run `make docs` where it is not."""
    assert path.read_text() == generated(path)


@pytest.mark.parametrize("service", read_services(), ids=lambda service: service.name)
def test_every_setting_is_described(service: Service) -> None:
    """Where it is defined, in a sentence."""
    settings = list(settings_of(import_module(f"{service.package}.settings").Settings))
    assert settings
    assert [field.name for field in settings if not field.description.endswith(".")] == []


BODIES = [
    *(ApiKeyList, ApiKeyQuery, ApiKeyRequest, ApiKeyView, NewApiKey, RevocationRequest, RotationRequest),
    *(AuditEntry, AuditList, AuditQuery),
    *(JobRequest, Job, CancelReply, ModelList, Problem, Readiness),
    *(WebhookEndpointRequest, WebhookEndpointChange, WebhookEndpointWithSecret, WebhookEndpointList),
    *(WebhookEndpointQuery, RotationQuery, EndpointTestReply, WebhookEndpointStats),
    *(RecoverRequest, RecoverReply, WebhookDeliveryQuery, WebhookDeliveryDetail, WebhookDeliveryList, WebhookAttempt),
    *(QueueQuery, QueueList, PauseRequest, PauseReply, ResumeReply),
    *(WorkerQuery, WorkerList, DrainRequest, DrainReply),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_every_field_of_the_api_is_described(body: type[msgspec.Struct]) -> None:
    """In a sentence, where it is defined, with a type that has words."""
    fields = list(fields_of(body))
    assert [field.name for field in fields] == list(body.__struct_fields__)
    assert [field.name for field in fields if not field.description.endswith(".")] == []
    assert all(describe(field.kind) for field in fields)
