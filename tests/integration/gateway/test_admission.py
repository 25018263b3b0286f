"""Bounds on waiting jobs."""

from collections.abc import Callable
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from chassis.problems import ProblemError
from chassis.settings import load
from darkroom_contracts.errors import ApiError
from darkroom_contracts.models import Catalogue
from gateway.admission import Admission
from gateway.app import open_app
from gateway.settings import Settings
from gateway.store import JobStore, queries
from tests.integration.gateway.clients import BODY, counts, submit
from tests.integration.gateway.conftest import Environment
from tests.integration.gateway.submissions import make_tenant, submission
from tests.support.declared import declared_client
from tests.support.plans import buffers, explain, scans_of

MODEL = "tiny"
AdmissionFactory = Callable[[int, int], Admission]


@pytest.fixture
def admission_of(store: JobStore) -> AdmissionFactory:
    return lambda per_model, per_tenant: Admission(store, [MODEL, "other"], per_model, per_tenant)


def refusal(admission: Admission, tenant: UUID, model: str = MODEL) -> str | None:
    """Return the code of the problem that refuses a submission, or None."""
    try:
        admission.admit(model, tenant)
    except ProblemError as error:
        return error.problem.code
    return None


async def test_a_full_model_refuses_everybody(admission_of: AdmissionFactory) -> None:
    """Admissions count at once, before any sample; another model still has room."""
    admission = admission_of(2, 100)
    codes = [refusal(admission, uuid4()) for _ in range(3)]
    assert codes == [None, None, ApiError.QUEUE_FULL]
    assert refusal(admission, uuid4(), "other") is None


async def test_a_tenants_quota_spans_models(admission_of: AdmissionFactory) -> None:
    """Other tenants are not affected."""
    admission, tenant = admission_of(100, 2), uuid4()
    codes = [refusal(admission, tenant, model) for model in (MODEL, "other", MODEL)]
    assert codes == [None, None, ApiError.QUOTA_EXCEEDED]
    assert refusal(admission, uuid4()) is None


async def test_a_sample_tells_what_waits(
    admission_of: AdmissionFactory, store: JobStore, rows: asyncpg.Connection
) -> None:
    """Jobs that other processes accepted count, and jobs that left the queue do not."""
    tenant = await make_tenant(rows)
    await store.insert([submission(tenant) for _ in range(3)])
    admission = admission_of(3, 100)
    await admission.run_once()
    assert refusal(admission, uuid4()) == ApiError.QUEUE_FULL
    await rows.execute(
        "UPDATE jobs SET status = 'canceled', completed_at = now() WHERE id = (SELECT min(id::text)::uuid FROM jobs)"
    )
    await admission.run_once()
    assert [refusal(admission, uuid4()) for _ in range(2)] == [None, ApiError.QUEUE_FULL]


async def test_what_is_admitted_during_a_sample_counts_on_top(
    admission_of: AdmissionFactory, store: JobStore, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample does not include it."""
    tenant = await make_tenant(rows)
    await store.insert([submission(tenant)])
    admission = admission_of(3, 100)
    slow = _then(store.count_waiting, lambda: refusal(admission, tenant))
    monkeypatch.setattr(store, "count_waiting", slow)
    await admission.run_once()
    assert [refusal(admission, tenant) for _ in range(2)] == [None, ApiError.QUEUE_FULL]


async def test_a_sample_counts_no_further_than_the_bound(store: JobStore, rows: asyncpg.Connection) -> None:
    """Its cost does not grow with the backlog."""
    tenant = await make_tenant(rows)
    await store.insert([submission(tenant) for _ in range(30)])
    (waiting,) = await store.count_waiting([MODEL, "other"], 10)
    assert (waiting.model, waiting.tenant_id, waiting.jobs) == (MODEL, tenant, 10)


async def test_a_sample_reads_the_waiting_only(rows: asyncpg.Connection) -> None:
    """Neither the history nor the backlog beyond the bound is read."""
    await _fill(rows, await make_tenant(rows), finished=5000, queued=2000)
    plan = await explain(rows, queries.count_waiting.sql, "ARRAY['tiny', 'other'], 50")
    scans = scans_of(plan, "jobs_waiting")
    assert sum(scan["Actual Rows"] * scan["Actual Loops"] for scan in scans) == 50
    assert buffers(plan) < 100


async def test_a_full_queue_answers_429(
    environment: Environment, catalogue: Catalogue, key: str, rows: asyncpg.Connection
) -> None:
    """The response is a problem with Retry-After, and nothing is recorded."""
    settings = load(Settings, {**environment, "DARKROOM_MAX_QUEUED_JOBS_PER_TENANT": "1"})
    async with open_app(settings) as gateway, declared_client(gateway.http, key) as client:
        await submit(client)
        answer: httpx2.Response = await client.post("/v1/jobs", json=BODY)
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert int(answer.headers["retry-after"]) > 0
    assert await counts(rows) == (1, 1, 0)


async def _fill(rows: asyncpg.Connection, tenant: UUID, *, finished: int, queued: int) -> None:
    await rows.execute(
        "INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, status, completed_at)"
        " SELECT gen_random_uuid(), $1, 'tiny', '{}', '', '1 day', now(),"
        " CASE WHEN n > $2 THEN 'queued' ELSE 'canceled' END, CASE WHEN n <= $2 THEN now() END"
        " FROM generate_series(1, $2::int + $3::int) AS n",
        tenant,
        finished,
        queued,
    )
    await rows.execute("ANALYZE jobs")


def _then(method: Callable[..., object], act: Callable[[], object]) -> Callable[..., object]:
    async def both(*arguments: object) -> object:
        act()
        return await method(*arguments)  # type: ignore[misc]

    return both
