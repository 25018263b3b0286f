-- A replay is one transaction of these steps. The job or the delivery is locked before its letters, as by every other
-- writer.

-- name: find_candidate(id)^
SELECT id, kind, job_id, generation, body, delivery_id FROM dead_letters WHERE id = :id;

-- name: lock_job(id)^
SELECT status, generation, deleted_at IS NOT NULL AS deleted FROM jobs WHERE id = :id FOR UPDATE;

-- name: lock_letter(id)$
SELECT status FROM dead_letters WHERE id = :id FOR UPDATE;

-- name: find_editable(id)^
SELECT model, input, overrides AS edits FROM jobs WHERE id = :id;

-- name: requeue_dead_job(job_id, generation, letter_id, overrides, cost)$
-- failed -> queued, with an outbox row; its letter is replaying. Returns the new generation, or null if the job did not
-- fail in the given one or was deleted. Without an edit, overrides and cost stay as they are.
WITH renewed AS (
    UPDATE jobs SET
        status = 'queued', generation = generation + 1, attempt = 0, dead_lettered = false,
        queued_at = now(), expires_at = now() + ttl, started_at = NULL, completed_at = NULL, next_attempt_at = NULL,
        cancel_requested_at = NULL, worker = NULL, session_id = NULL, step = NULL, steps = NULL,
        error = NULL, receipt = NULL, metrics = NULL, deadline_at = now() + deadline, announced_at = now(),
        overrides = coalesce(:overrides::jsonb, overrides), cost = coalesce(:cost::bigint, cost)
    WHERE id = :job_id AND status = 'failed' AND generation = :generation AND deleted_at IS NULL
    RETURNING jobs AS job
), marked AS (
    UPDATE dead_letters AS letter SET status = 'replaying' FROM renewed WHERE letter.id = :letter_id AND letter.status = 'open'
)
SELECT (job).generation FROM renewed CROSS JOIN LATERAL enqueue_message(job);

-- name: enqueue_message(job_id)!
SELECT enqueue_message(jobs) FROM jobs WHERE id = :job_id;

-- name: find_tenant(id)$
SELECT id FROM tenants WHERE id = :id;

-- name: newest_orphan(job_id)^
-- The latest generation among a job's orphan letters, and the latest among all its letters.
SELECT id, generation, (
    SELECT max(generation) FROM dead_letters WHERE job_id = :job_id AND kind IN ('job', 'orphan')) AS latest
FROM dead_letters WHERE job_id = :job_id AND kind = 'orphan'
ORDER BY generation DESC LIMIT 1;

-- name: revive_job(job)$
-- Make a job again from its message, in a generation that no letter has. Null if the job exists or was purged.
INSERT INTO jobs (id, tenant_id, key_id, user_id, model, input, overrides, metadata, webhook_url, webhook_events, traceparent,
    retried_from, idempotency_key, priority, cost, generation, created_at, ttl, expires_at, deadline, deadline_at)
SELECT id, tenant_id, key_id, user_id, model, input, overrides, metadata, webhook_url, webhook_events, traceparent,
    retried_from, idempotency_key, priority, cost, generation, greatest(least(created_at, now()), 'epoch'), make_interval(secs => ttl_seconds),
    now() + make_interval(secs => ttl_seconds), make_interval(secs => deadline_seconds),
    now() + make_interval(secs => deadline_seconds)
FROM jsonb_to_record(:job::jsonb) AS job (
    id uuid, tenant_id uuid, key_id text, user_id text, model text, input jsonb, overrides jsonb, metadata jsonb,
    webhook_url text, webhook_events text[], traceparent text, retried_from uuid, idempotency_key text, priority smallint, cost bigint,
    generation integer, created_at timestamptz, ttl_seconds integer, deadline_seconds integer)
WHERE NOT is_purged(id)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: restore_key(tenant_id, key, body_hash, job_id)$
-- Returns the job that the key refers to afterwards.
WITH restored AS (
    INSERT INTO idempotency_keys (tenant_id, key, body_hash, job_id)
    VALUES (:tenant_id, :key, :body_hash, :job_id)
    ON CONFLICT (tenant_id, key) DO UPDATE SET job_id = idempotency_keys.job_id
    RETURNING job_id
)
SELECT job_id FROM restored;

-- name: mark_orphans_replaying(job_id)!
-- The same replay covers the earlier generations. `status || ''` keeps it from a walk of all open orphans, see
-- docs/decisions/0054.
UPDATE dead_letters SET status = 'replaying' WHERE job_id = :job_id AND kind = 'orphan' AND status || '' = 'open';

-- name: lock_delivery(id)^
SELECT delivery.status, lease_token IS NOT NULL AS in_flight, endpoint.status AS endpoint_status,
    endpoint.deleted_at IS NOT NULL AS endpoint_deleted, disabled_reason
FROM webhook_deliveries AS delivery JOIN webhook_endpoints AS endpoint ON endpoint.id = endpoint_id
WHERE delivery.id = :id FOR UPDATE OF delivery;

-- name: redeliver(id)$
-- Also moves its open letter to replaying. False while an attempt is in flight.
SELECT redeliver(:id);

-- Foresight: what a replay would find, without locks.

-- name: look_at_letters(ids)
-- Without bodies, of which many could fill the memory.
SELECT letter.id, letter.kind, letter.status AS letter_status, letter.job_id, letter.generation, letter.delivery_id,
    job.status, job.generation AS job_generation, job.deleted_at IS NOT NULL AS deleted, job.model, job.input,
    job.overrides AS edits, delivery.status AS delivery_status, delivery.lease_token IS NOT NULL AS in_flight,
    endpoint.status AS endpoint_status, endpoint.deleted_at IS NOT NULL AS endpoint_deleted, endpoint.disabled_reason
FROM unnest(:ids::uuid[]) WITH ORDINALITY AS wanted (id, number)
JOIN LATERAL (SELECT * FROM dead_letters WHERE id = wanted.id OFFSET 0) AS letter ON true
LEFT JOIN LATERAL (SELECT * FROM jobs WHERE id = letter.job_id AND letter.kind <> 'webhook' OFFSET 0) AS job ON true
LEFT JOIN LATERAL (SELECT * FROM webhook_deliveries WHERE id = letter.delivery_id OFFSET 0) AS delivery ON true
LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = delivery.endpoint_id
ORDER BY number;
