-- What the tests read and how they move time. Every write of the protocol itself is the product's own.

-- name: observe()$
-- All that the invariants speak of, as one document.
SELECT jsonb_build_object(
    'jobs', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', id, 'status', status, 'version', version, 'generation', generation, 'attempt', attempt,
        'max_attempts', max_attempts, 'worker', worker, 'lease_token', lease_token,
        'cancel_requested', cancel_requested_at IS NOT NULL, 'expired', expires_at <= now(),
        'waiting', coalesce(next_attempt_at > now(), false), 'overdue', announced_at <= now() - interval '30 minutes' AND coalesce(next_attempt_at <= now(), true),
        'lease_over', coalesce(lease_expires_at < now(), false), 'dead_lettered', dead_lettered,
        'error', error, 'outputs', outputs, 'step', step,
        'wanted_events', CASE WHEN webhook_url IS NULL THEN '{}' ELSE webhook_events END
    ) ORDER BY id), '[]') FROM jobs),
    'outbox', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'job_id', job_id, 'generation', generation, 'lane', lane, 'failures', failures
    ) ORDER BY id), '[]') FROM outbox),
    'attempts', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'lease_token', lease_token, 'job_id', job_id, 'generation', generation, 'attempt', attempt,
        'worker', worker, 'outcome', outcome
    ) ORDER BY started_at, lease_token), '[]') FROM attempts),
    'letters', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', id, 'kind', kind, 'status', status, 'job_id', job_id, 'generation', generation, 'reason', reason,
        'has_body', body IS NOT NULL, 'has_x_death', x_death IS NOT NULL
    ) ORDER BY created_at, job_id, generation, id), '[]') FROM dead_letters),
    'deliveries', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'job_id', job_id, 'event', event, 'job_version', job_version
    ) ORDER BY job_id, job_version), '[]') FROM webhook_deliveries),
    'ledger', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'job_id', job_id, 'generation', generation, 'version', version, 'old_status', old_status,
        'status', status, 'lease_token', lease_token, 'cancel_requested', cancel_requested
    ) ORDER BY id), '[]') FROM ledger)
);

-- name: add_tenant()$
INSERT INTO tenants (name) VALUES ('default') ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id;

-- name: forget_everything()!
TRUNCATE jobs, outbox, attempts, worker_sessions, object_sweeps, webhook_deliveries, dead_letters, idempotency_keys, audit_log, ledger RESTART IDENTITY;

-- name: let_lease_run_out(job_id)!
UPDATE jobs SET lease_expires_at = now() - interval '1 hour' WHERE id = :job_id AND status = 'running';

-- name: let_job_expire(job_id)!
UPDATE jobs SET expires_at = now() - interval '1 hour' WHERE id = :job_id;

-- name: let_wait_be_over(job_id)!
UPDATE jobs SET next_attempt_at = now() - interval '1 hour' WHERE id = :job_id AND next_attempt_at IS NOT NULL;

-- name: let_republish_be_due(job_id)!
-- A living worker asked the queue after this job's message must have reached it, and was answered "empty".
WITH proof AS (
    INSERT INTO worker_sessions (id, worker, model, empty_at) VALUES (:job_id, 'witness', 'tiny', now() - interval '20 s')
    ON CONFLICT (id) DO UPDATE SET last_beat_at = now(), empty_at = excluded.empty_at
)
UPDATE jobs SET announced_at = now() - interval '1 hour', queued_at = least(queued_at, now() - interval '1 hour')
WHERE id = :job_id;

-- name: let_outbox_be_due()!
-- Rows that a failed publish pushed into the future come back.
UPDATE outbox SET available_at = now();
