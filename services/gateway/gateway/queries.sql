-- name: insert_jobs(submissions)
-- One round trip for a whole batch. Keys are inserted in one order by everybody, so that two batches with crossed keys
-- wait for each other instead of deadlocking. A job whose key is taken is left out, and so not returned.
WITH submitted AS (
    SELECT * FROM jsonb_to_recordset(:submissions::jsonb) AS submission (
        id uuid, tenant_id uuid, model text, input jsonb, metadata jsonb, webhook_url text, webhook_events text[],
        ttl_seconds integer, traceparent text, retried_from uuid, idempotency_key text, body_hash text)
), claimed AS (
    INSERT INTO idempotency_keys (tenant_id, key, body_hash, job_id)
    SELECT tenant_id, idempotency_key, decode(body_hash, 'base64'), id FROM submitted
    WHERE idempotency_key IS NOT NULL ORDER BY tenant_id, idempotency_key
    ON CONFLICT DO NOTHING
    RETURNING job_id
), accepted AS (
    INSERT INTO jobs (id, tenant_id, model, input, metadata, webhook_url, webhook_events, traceparent, retried_from,
        ttl, expires_at)
    SELECT id, tenant_id, model, input, metadata, webhook_url, webhook_events, traceparent, retried_from,
        make_interval(secs => ttl_seconds), now() + make_interval(secs => ttl_seconds)
    FROM submitted
    WHERE idempotency_key IS NULL OR id IN (SELECT job_id FROM claimed)
    RETURNING id, model, generation, traceparent, created_at, max_attempts
), announced AS (
    INSERT INTO outbox (job_id, generation, model, traceparent)
    SELECT id, generation, model, traceparent FROM accepted
)
SELECT id, created_at, max_attempts FROM accepted;

-- name: find_by_keys(tenants, keys)
SELECT claimed.key, claimed.body_hash, jobs.*, extract(epoch FROM jobs.ttl)::integer AS ttl_seconds
FROM unnest(:tenants::uuid[], :keys::text[]) AS wanted (tenant_id, key)
JOIN idempotency_keys AS claimed USING (tenant_id, key)
JOIN jobs ON jobs.id = claimed.job_id;

-- name: find_job(id, tenant)^
SELECT NULL AS key, NULL::bytea AS body_hash, *, extract(epoch FROM ttl)::integer AS ttl_seconds
FROM jobs WHERE id = :id AND tenant_id = :tenant;

-- name: count_waiting(models, at_most)
-- Waiting jobs by model and tenant, counted up to a bound for each model: beyond it the backlog costs nothing more.
-- The order is that of jobs_waiting, which so is read instead of the whole history.
SELECT wanted.model, waiting.tenant_id, waiting.jobs
FROM unnest(:models::text[]) AS wanted (model)
CROSS JOIN LATERAL (
    SELECT tenant_id, count(*) AS jobs
    FROM (
        SELECT tenant_id FROM jobs WHERE status = 'queued' AND model = wanted.model
        ORDER BY queued_at, id LIMIT :at_most
    ) AS bounded
    GROUP BY tenant_id
) AS waiting;

-- name: lock_job(id, tenant)^
SELECT status, generation, cancel_requested_at FROM jobs WHERE id = :id AND tenant_id = :tenant FOR UPDATE;

-- name: cancel_queued(id, generation)$
SELECT finish_job(:id, :generation, NULL, 'canceled');

-- name: request_cancel(id)$
-- Asks the holder to stop; the first request is the one that counts, but each is told again.
UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, now())
FROM pg_notify('darkroom_cancel', :id::uuid::text)
WHERE id = :id AND status = 'running'
RETURNING cancel_requested_at;

-- name: relax_durability()!
-- For this transaction only: losing a deletion to a crash costs a duplicate message, which is harmless.
SET LOCAL synchronous_commit = off;

-- name: take_messages(at_most)
SELECT id, job_id, generation, model, lane, traceparent, extract(epoch FROM now() - available_at)::float AS waited
FROM outbox
WHERE available_at <= now()
ORDER BY available_at, id LIMIT :at_most
FOR UPDATE SKIP LOCKED;

-- name: delete_messages(ids)!
DELETE FROM outbox WHERE id = ANY (:ids);

-- name: postpone_messages(ids)!
-- Refused or returned messages wait longer each time, five minutes at the most, so that they never head every batch.
UPDATE outbox SET
    failures = failures + 1,
    available_at = now() + least(interval '5 minutes', interval '1 second' * 2 ^ least(failures, 10))
WHERE id = ANY (:ids);

-- name: recheck_messages(ids)!
-- Whether these arrived is unknown: they go out again soon, and a duplicate is harmless.
UPDATE outbox SET available_at = now() + interval '2 seconds' WHERE id = ANY (:ids);
