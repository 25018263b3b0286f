"""Webhook rows that break one constraint each: its name, and columns or a statement."""

ENDPOINT = "INSERT INTO webhook_endpoints (tenant_id, url) SELECT id, 'https://example.com/' FROM tenants RETURNING id"
IMPOSSIBLE_ENDPOINTS = [
    ("webhook_endpoints_audience_check", {"audience": "'everybody'"}),
    ("webhook_endpoints_status_check", {"status": "'closed'"}),
    ("webhook_endpoints_rotation_check", {"rotation": "-1"}),
    ("only_operators_have_no_tenant", {"tenant_id": "NULL"}),
    ("only_operators_have_no_tenant", {"audience": "'operator'"}),
    ("the_implicit_have_no_url", {"url": "NULL"}),
    ("the_implicit_have_no_url", {"implicit": "true"}),
    (
        "an_implicit_endpoint_has_a_tenant",
        {"implicit": "true", "url": "NULL", "tenant_id": "NULL", "audience": "'operator'"},
    ),
    ("disabled_has_a_reason", {"status": "'disabled'"}),
    ("disabled_has_a_reason", {"disabled_reason": "'gone'"}),
    ("static_headers_have_a_key", {"headers": "'x'"}),
    ("static_headers_have_a_key", {"headers_key": "'first'"}),
    ("static_headers_have_a_key", {"header_names": "'{x-team}'"}),
    ("static_headers_have_a_key", {"headers": "'x'", "headers_key": "'first'"}),
    ("a_previous_secret_has_a_key", {"previous_until": "now()", "rotation": "1"}),
    ("a_previous_secret_has_a_key", {"previous_master_key": "'first'", "rotation": "1"}),
    ("a_previous_secret_has_a_key", {"previous_until": "now()", "previous_master_key": "'first'"}),
    ("only_the_failing_are_warned_of", {"warned_at": "now()"}),
    ("the_implicit_never_fail", {"implicit": "true", "url": "NULL", "failing_since": "now()"}),
]
IMPOSSIBLE_ALLOWANCES = [
    (
        "webhook_allowances_act_check",
        "INSERT INTO webhook_allowances (tenant_id, act, spent_until) SELECT id, 'rotate', now() FROM tenants",
    ),
]

DELIVERY = """
    INSERT INTO webhook_deliveries (endpoint_id, event, url, origin, snapshot)
    VALUES (gen_random_uuid(), 'job.failed', 'https://example.com/', 'https://example.com:443', '{}') RETURNING id
"""
JOB = {"job_id": "gen_random_uuid()", "job_version": "2"}
LEASED = {"lease_token": "gen_random_uuid()", "lease_expires_at": "now()"}
SENT = {"attempt": "1", "snapshot": "NULL", "body": "'x'"}
GUARD = "webhook_deliveries_guard"
"""Named by the error of a trigger, which stands for constraints."""
IMPOSSIBLE_DELIVERIES = [
    (GUARD, {"snapshot": "NULL", "body": "repeat('x', 20001)::bytea"}),
    (GUARD, {"snapshot": "NULL"}),
    (GUARD, {"body": "'x'"}),
    (GUARD, {"snapshot": "NULL", "event": "'job.started'"} | JOB),
    (GUARD, LEASED | {"attempt": "1"}),
    (GUARD, {"status": "'sent'", "next_attempt_at": "NULL", "finished_at": "now()"}),
    (GUARD, {"next_attempt_at": "NULL"}),
    (GUARD, {"finished_at": "now()"}),
    (GUARD, {"status": "'failed'", "finished_at": "now()"}),
    (GUARD, {"status": "'retired'", "next_attempt_at": "NULL"}),
    (GUARD, SENT | {"lease_token": "gen_random_uuid()"}),
    (GUARD, {"lease_expires_at": "now()"}),
    (GUARD, SENT | LEASED | {"status": "'failed'", "next_attempt_at": "NULL", "finished_at": "now()"}),
    (GUARD, SENT | LEASED | {"attempt": "0"}),
    (GUARD, {"failures": "1"}),
    (GUARD, {"losses": "1"}),
]

_ATTEMPT = """
    WITH delivery AS (
        INSERT INTO webhook_deliveries (endpoint_id, event, url, origin, snapshot)
        VALUES (gen_random_uuid(), 'job.failed', 'https://example.com/', 'https://example.com:443', '{{}}') RETURNING id
    )
    INSERT INTO webhook_attempts (delivery_id, number, lease_token, ended_at, outcome, response)
    SELECT id, {number}, gen_random_uuid(), {ended_at}, {outcome}, {response} FROM delivery
"""


def _attempt(number: str = "1", ended_at: str = "NULL", outcome: str = "NULL", response: str = "NULL") -> str:
    return _ATTEMPT.format(number=number, ended_at=ended_at, outcome=outcome, response=response)


IMPOSSIBLE_ATTEMPTS = [
    ("webhook_attempts_number_check", _attempt(number="0")),
    ("webhook_attempts_outcome_check", _attempt(ended_at="now()", outcome="'sent'")),
    ("webhook_attempts_response_check", _attempt(response="repeat('x', 16385)::bytea")),
    ("an_ended_attempt_has_an_outcome", _attempt(ended_at="now()")),
    ("an_ended_attempt_has_an_outcome", _attempt(outcome="'lost'")),
]
