-- name: insert_jobs(submissions)
-- One round trip for a whole batch. Keys are inserted in one order by everybody, so that two batches with crossed keys
-- wait for each other instead of deadlocking. A job whose key is taken is left out, and so not returned.
WITH submitted AS (
    SELECT * FROM jsonb_to_recordset(:submissions::jsonb) AS submission (
        id uuid, tenant_id uuid, key_id text, user_id text, model text, input jsonb, metadata jsonb, webhook_url text,
        webhook_events text[], ttl_seconds integer, deadline_seconds integer, cost bigint, traceparent text,
        retried_from uuid, idempotency_key text, body_hash text)
), claimed AS (
    INSERT INTO idempotency_keys (tenant_id, key, body_hash, job_id)
    SELECT tenant_id, idempotency_key, decode(body_hash, 'base64'), id FROM submitted
    WHERE idempotency_key IS NOT NULL ORDER BY tenant_id, idempotency_key
    ON CONFLICT DO NOTHING
    RETURNING job_id
), accepted AS (
    INSERT INTO jobs (id, tenant_id, key_id, user_id, model, input, metadata, webhook_url, webhook_events, traceparent,
        retried_from, idempotency_key, cost, ttl, expires_at, deadline, deadline_at)
    SELECT id, tenant_id, key_id, user_id, model, input, metadata, webhook_url, webhook_events, traceparent,
        retried_from, idempotency_key, cost, make_interval(secs => ttl_seconds),
        now() + make_interval(secs => ttl_seconds), make_interval(secs => deadline_seconds),
        now() + make_interval(secs => deadline_seconds)
    FROM submitted
    WHERE idempotency_key IS NULL OR id IN (SELECT job_id FROM claimed)
    RETURNING id, model, generation, created_at, max_attempts
), announced AS (
    INSERT INTO outbox (job_id, generation, model)
    SELECT id, generation, model FROM accepted
)
SELECT id, created_at, max_attempts FROM accepted;

-- name: find_by_keys(tenants, keys)
-- A key outlives its job's row only by a mistake; it stands for a job that is gone then.
SELECT claimed.tenant_id, claimed.key, claimed.body_hash, jobs.id, jobs.key_id, jobs.user_id, jobs.model, jobs.input,
    jobs.metadata, jobs.webhook_url, jobs.webhook_events, jobs.traceparent, jobs.retried_from, jobs.cost, jobs.status,
    jobs.created_at, jobs.max_attempts, jobs.id IS NULL OR jobs.deleted_at IS NOT NULL AS deleted,
    extract(epoch FROM jobs.ttl)::integer AS ttl_seconds, extract(epoch FROM jobs.deadline)::integer AS deadline_seconds
FROM unnest(:tenants::uuid[], :keys::text[]) AS wanted (tenant_id, key)
JOIN idempotency_keys AS claimed USING (tenant_id, key)
LEFT JOIN jobs ON jobs.id = claimed.job_id;

-- name: find_job(id, tenant)^
SELECT NULL AS key, NULL::bytea AS body_hash, *, deleted_at IS NOT NULL AS deleted,
    extract(epoch FROM ttl)::integer AS ttl_seconds, extract(epoch FROM deadline)::integer AS deadline_seconds
FROM jobs WHERE id = :id AND tenant_id = :tenant;

-- name: count_waiting(models, at_most)
-- Waiting jobs by model and tenant, counted up to a bound for each model: beyond it the backlog costs nothing more.
-- The order is that of jobs_waiting, which so is read instead of the whole history.
SELECT wanted.model, waiting.tenant_id, waiting.jobs
FROM unnest(:models::text[]) AS wanted (model)
CROSS JOIN LATERAL (
    SELECT tenant_id, count(*) AS jobs
    FROM (
        SELECT tenant_id FROM jobs WHERE status = 'queued' AND queue = wanted.model
        ORDER BY queued_at, id LIMIT :at_most
    ) AS bounded
    GROUP BY tenant_id
) AS waiting;

-- name: lock_job(id, tenant)^
SELECT status, generation, cancel_requested_at, deleted_at IS NOT NULL AS deleted
FROM jobs WHERE id = :id AND tenant_id = :tenant FOR UPDATE;

-- name: is_purged(id)$
-- Whether retention removed all jobs of that age.
SELECT is_purged(:id);

-- name: cancel_queued(id, generation)$
SELECT finish_job(:id, :generation, NULL, 'canceled');

-- name: request_cancel(id)$
-- Ask the holder, and nobody else, to stop. The first request is the one that counts, but each notifies again.
WITH requested AS (
    UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, now())
    WHERE id = :id AND status = 'running'
    RETURNING cancel_requested_at, worker
)
SELECT cancel_requested_at, pg_notify(cancel_channel(worker), :id::uuid::text) FROM requested;

-- name: delete_job(id)!
-- The job is locked and has ended. What its submitter wrote goes, from its letters and attempts too; a tombstone stays,
-- and its objects are swept until none comes back.
WITH redacted AS (
    UPDATE jobs SET
        deleted_at = now(), input = '{}', overrides = NULL, metadata = '{}', webhook_url = NULL, user_id = NULL
    WHERE id = :id AND completed_at IS NOT NULL AND deleted_at IS NULL
    RETURNING id
), discarded AS (
    UPDATE dead_letters SET
        body = CASE kind WHEN 'orphan' THEN ''::bytea END, headers = NULL, x_death = NULL,
        status = CASE WHEN status IN ('open', 'replaying') THEN 'discarded' ELSE status END,
        resolved_at = coalesce(resolved_at, now())
    FROM redacted WHERE job_id = redacted.id AND kind IN ('job', 'orphan')
), forgotten AS (
    UPDATE attempts SET error = error - '{last_lines,cause}'::text[] FROM redacted WHERE job_id = redacted.id AND error IS NOT NULL
)
INSERT INTO object_sweeps (job_id, due_at) SELECT id, now() FROM redacted
ON CONFLICT (job_id) DO UPDATE SET due_at = excluded.due_at, empty_since = NULL;

-- name: relax_durability()!
-- For this transaction only: losing a deletion to a crash costs a duplicate message, which is harmless.
SET LOCAL synchronous_commit = off;

-- name: take_messages(at_most)
SELECT outbox.id, outbox.job_id, outbox.generation, outbox.model, outbox.lane, jobs.traceparent,
    extract(epoch FROM now() - outbox.available_at)::float AS waited
FROM outbox JOIN jobs ON jobs.id = outbox.job_id
WHERE outbox.available_at <= now()
ORDER BY outbox.available_at, outbox.id LIMIT :at_most
FOR UPDATE OF outbox SKIP LOCKED;

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
