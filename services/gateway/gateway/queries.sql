-- name: insert_jobs(submissions)
-- One round trip for a whole batch. All batches insert their keys in the same order, so that two batches with crossed
-- keys wait for each other instead of deadlocking. A job whose key is taken is neither inserted nor returned.
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
-- A key should never outlive its job's row. If it does, its job counts as deleted.
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
-- Waiting jobs by model and tenant, counted up to a bound for each model, so that a larger backlog costs nothing more.
-- The order is that of jobs_waiting, so that this index is read instead of the whole history.
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
-- Whether retention removed all jobs of the id's age.
SELECT is_purged(:id);

-- name: cancel_queued(id, generation)$
SELECT finish_job(:id, :generation, NULL, 'canceled');

-- name: request_cancel(id)$
-- Notify the worker that holds the job, and no other. The time of the first request is kept; each one notifies again.
WITH requested AS (
    UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, now())
    WHERE id = :id AND status = 'running'
    RETURNING cancel_requested_at, worker
)
SELECT cancel_requested_at, pg_notify(cancel_channel(worker), :id::uuid::text) FROM requested;

-- name: delete_job(id)!
-- The job is locked and has ended. What its tenant wrote is removed, also from its letters and attempts; a tombstone
-- stays, and its objects are swept until none reappears.
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
-- For this transaction only. A deletion that is lost in a crash causes a duplicate message, which is harmless.
SET LOCAL synchronous_commit = off;

-- name: take_messages(skipped, probed, each, all)
-- Destinations are found by a loose index scan, whose cost depends on their number and not on the backlog, and share the
-- batch. A row whose job is gone, has ended or is in another generation comes without the job's columns. OFFSET 0 keeps
-- the planner, which cannot estimate how few rows are taken, from joining all jobs by a hash.
WITH RECURSIVE present (destination) AS (
    (SELECT destination FROM outbox ORDER BY destination LIMIT 1)
    UNION ALL
    SELECT (
        SELECT destination FROM outbox WHERE outbox.destination > present.destination
        ORDER BY outbox.destination LIMIT 1
    ) FROM present WHERE destination IS NOT NULL
), due AS (
    SELECT destination, count(*) OVER () AS destinations FROM present
    WHERE destination <> ALL (:skipped::text[]) AND (
        SELECT available_at FROM outbox WHERE outbox.destination = present.destination ORDER BY available_at LIMIT 1
    ) <= now()
), shared AS (
    SELECT destination, CASE
        WHEN destination = ANY (:probed::text[]) THEN 1
        ELSE greatest(1, least(:each, :all / destinations))
    END::integer AS share FROM due
), taken AS (
    SELECT message.*, share FROM shared CROSS JOIN LATERAL (
        SELECT * FROM outbox WHERE outbox.destination = shared.destination AND available_at <= now()
        ORDER BY available_at, id LIMIT share
        FOR UPDATE SKIP LOCKED
    ) AS message
)
SELECT taken.id, taken.created_at, taken.job_id, taken.generation, taken.model, taken.lane, taken.destination, share,
    extract(epoch FROM clock_timestamp() - taken.available_at)::float AS waited,
    extract(epoch FROM clock_timestamp() - taken.created_at)::float AS age,
    job.tenant_id, job.user_id, job.key_id, job.merged_input AS input, job.webhook_url, job.webhook_events,
    job.metadata, job.priority, job.cost, job.created_at AS job_created_at, job.expires_at,
    extract(epoch FROM job.ttl)::integer AS ttl_seconds, extract(epoch FROM job.deadline)::integer AS deadline_seconds,
    job.deadline_at, job.max_attempts, job.retried_from, job.idempotency_key, claimed.body_hash,
    (SELECT id FROM instance) AS instance_id, job.traceparent
FROM taken
LEFT JOIN LATERAL (
    SELECT jobs.*, merged_input(jobs) AS merged_input FROM jobs
    WHERE jobs.id = taken.job_id AND jobs.generation = taken.generation AND jobs.completed_at IS NULL
    OFFSET 0
) AS job ON true
LEFT JOIN LATERAL (
    SELECT body_hash FROM idempotency_keys AS keys
    WHERE keys.tenant_id = job.tenant_id AND keys.key = job.idempotency_key AND keys.job_id = job.id
    OFFSET 0
) AS claimed ON true
ORDER BY taken.destination, taken.available_at, taken.id;

-- name: delete_messages(ids)!
DELETE FROM outbox WHERE id = ANY (:ids);

-- name: delete_unchanged_messages(ids, created)
-- A renewed row has another time of creation; a row that another relay has locked is published by that relay.
WITH confirmed AS (
    SELECT message.id FROM unnest(:ids::bigint[], :created::timestamptz[]) AS known (id, created_at) CROSS JOIN LATERAL (
        SELECT id FROM outbox WHERE id = known.id AND created_at = known.created_at FOR UPDATE SKIP LOCKED
    ) AS message
)
DELETE FROM outbox WHERE id = ANY (ARRAY(SELECT id FROM confirmed)) RETURNING id;

-- name: postpone_messages(ids, seconds)!
-- Longer each time, but at most a minute, so that no message waits much longer than the outage. Counted from
-- clock_timestamp(): the transaction began before the wait for the confirm.
UPDATE outbox SET
    failures = failures + 1,
    available_at = clock_timestamp()
        + least(interval '1 minute', make_interval(secs => :seconds * 2 ^ least(failures, 10)))
WHERE id = ANY (:ids);

-- name: renew_announcements(jobs, generations, created)!
-- The message may have reached its queue only now. It never waits for a job's row: its lock's owner acts on the job.
-- With `status || ''` the job is looked up by its id, and not by walking an index of queued jobs (docs/decisions/0054).
WITH late AS (
    SELECT job.id, announced.created_at
    FROM unnest(:jobs::uuid[], :generations::integer[], :created::timestamptz[])
        AS announced (id, generation, created_at)
    CROSS JOIN LATERAL (
        SELECT id FROM jobs WHERE id = announced.id AND generation = announced.generation AND status || '' = 'queued'
        FOR UPDATE SKIP LOCKED
    ) AS job
)
UPDATE jobs SET announced_at = announced_at + (clock_timestamp() - late.created_at)
FROM late WHERE jobs.id = late.id AND jobs.id = ANY (ARRAY(SELECT id FROM late));
