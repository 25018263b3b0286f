-- Rows that are removed by age alone. Each statement takes a bounded batch, the oldest first, skips rows that another
-- process has locked, and returns how many rows it removed.
--
-- A batch is an array, and OFFSET 0 keeps a look-up from becoming a join: with a bound that it does not know at planning,
-- Postgres would join whole tables.

-- name: prune_idempotency_keys(at_most, age)$
WITH pruned AS (
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys
        WHERE created_at < now() - :age::interval
        ORDER BY created_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM pruned;

-- name: prune_letters(at_most, age)$
-- Only resolved letters have a `resolved_at`.
WITH pruned AS (
    DELETE FROM dead_letters WHERE id = ANY (ARRAY(
        SELECT id FROM dead_letters
        WHERE resolved_at < now() - :age::interval
        ORDER BY resolved_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM pruned;

-- name: prune_endpoints(at_most, age)$
-- Endpoints of webhooks that were deleted long ago and have no deliveries, whose log is found through them. The look-up
-- is the descent to an endpoint's first delivery: asked for any, Postgres would walk the table if most are one endpoint's.
WITH pruned AS (
    DELETE FROM webhook_endpoints WHERE id = ANY (ARRAY(
        SELECT id FROM webhook_endpoints AS endpoint
        WHERE deleted_at < now() - :age::interval AND endpoint.id IS DISTINCT FROM (
            SELECT endpoint_id FROM webhook_deliveries WHERE endpoint_id >= endpoint.id ORDER BY endpoint_id, id LIMIT 1)
        ORDER BY deleted_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM pruned;

-- name: prune_sessions(at_most, age)$
-- Sessions that ended long ago, so that all their attempts are old, unless an old attempt still refers to them.
WITH pruned AS (
    DELETE FROM worker_sessions WHERE id = ANY (ARRAY(
        SELECT id FROM worker_sessions AS session
        WHERE ended_at < now() - :age::interval AND NOT EXISTS (
            SELECT FROM attempts WHERE session_id = session.id AND attempts.started_at < now() - :age)
        ORDER BY ended_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM pruned;

-- name: prune_alerts(at_most, age)$
-- Only resolved alerts have a `resolved_at`.
WITH pruned AS (
    DELETE FROM alerts WHERE id = ANY (ARRAY(
        SELECT id FROM alerts
        WHERE resolved_at < now() - :age::interval
        ORDER BY resolved_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM pruned;

-- name: expire_pictures(at_most, age)$
-- The record changes before the objects are removed; the sweep of objects removes those that the outputs don't list.
-- The index jobs_finished begins with the queue and is read queue by queue. Jobs that are done leave it.
WITH RECURSIVE queues AS (
    (SELECT queue FROM jobs WHERE status = 'succeeded' AND outputs_removed_at IS NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (
        SELECT queue FROM jobs
        WHERE status = 'succeeded' AND outputs_removed_at IS NULL AND queue > queues.queue
        ORDER BY queue LIMIT 1)
    FROM queues WHERE queues.queue IS NOT NULL
), due AS (
    SELECT job.id FROM queues CROSS JOIN LATERAL (
        SELECT id FROM jobs
        WHERE status = 'succeeded' AND outputs_removed_at IS NULL AND queue = queues.queue
            AND completed_at < now() - :age::interval
        ORDER BY completed_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ) AS job
    LIMIT :at_most
), expired AS (
    UPDATE jobs SET outputs = '[]', outputs_removed_at = now(), version = version + 1
    WHERE id = ANY (ARRAY(SELECT id FROM due))
    RETURNING id
), to_sweep AS (
    INSERT INTO object_sweeps (job_id, due_at) SELECT id, now() FROM expired
    ON CONFLICT (job_id) DO UPDATE SET due_at = excluded.due_at
)
SELECT count(*) FROM expired;

-- Rows of which some old ones are kept: a pass visits all rows that are old enough, in the order of an index, and begins
-- each batch where the last one ended.

-- name: prune_attempts(after_time, after_token, at_most, age)^
-- Attempts that ended, except those of jobs with an unresolved dead letter.
WITH visited AS MATERIALIZED (
    SELECT lease_token, job_id, started_at, ended_at FROM attempts
    WHERE started_at < now() - :age::interval AND (started_at, lease_token) > (:after_time, :after_token)
    ORDER BY started_at, lease_token LIMIT :at_most
), pruned AS (
    DELETE FROM attempts WHERE lease_token = ANY (ARRAY(
        SELECT lease_token FROM visited
        WHERE ended_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM dead_letters AS letter
            WHERE letter.job_id = visited.job_id AND kind = 'job' AND status IN ('open', 'replaying') OFFSET 0)
    ))
    RETURNING 1
), last AS (
    SELECT started_at, lease_token FROM visited ORDER BY started_at DESC, lease_token DESC LIMIT 1
)
SELECT (SELECT count(*) FROM visited) AS visited, (SELECT count(*) FROM pruned) AS removed,
    (SELECT started_at FROM last) AS last_time, (SELECT lease_token FROM last) AS last_token;

-- name: prune_deliveries(after, at_most, age)^
-- Deliveries that ended, except those with an unresolved dead letter. Their ids are ordered by time (UUIDv7). A foreign
-- key removes their attempts.
WITH visited AS MATERIALIZED (
    SELECT id FROM webhook_deliveries
    WHERE id > :after AND id < (SELECT uuidv7(-:age::interval))
    ORDER BY id LIMIT :at_most
), pruned AS (
    DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(
        SELECT id FROM webhook_deliveries
        WHERE id = ANY (ARRAY(SELECT id FROM visited)) AND finished_at < now() - :age AND NOT dead_lettered
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT (SELECT count(*) FROM visited) AS visited, (SELECT count(*) FROM pruned) AS removed,
    (SELECT id FROM visited ORDER BY id DESC LIMIT 1) AS last_id;

-- name: hold_purge()!
-- Until the transaction ends, `purged_before` stays where it is.
SELECT FROM instance FOR SHARE;

-- name: lock_instance()!
SELECT FROM instance FOR UPDATE;

-- name: advance_purge(age)$
-- Committed before a job is purged: from then on every older id that is unknown counts as that of a purged job. The moment
-- never moves back, and never past the id of an open orphan, which may become a job again.
UPDATE instance SET purged_before = greatest(purged_before, least(now() - :age::interval, (
    SELECT min(uuid_extract_timestamp(job_id)) FROM dead_letters WHERE kind = 'orphan' AND status = 'open')))
RETURNING purged_before;

-- name: purge_jobs(after, before, at_most, age)^
-- Jobs that ended long ago, unless something holds them: an unresolved letter of their own, an unfinished delivery, an
-- Idempotency-Key that refers to them. Foreign keys remove their attempts, and those of their deliveries. A delivery with
-- an unresolved letter, or that is sent again at this moment, stays, and keeps what it needs of the job (freeze_deliveries).
WITH visited AS MATERIALIZED (
    SELECT id FROM jobs WHERE id > :after AND id < :before ORDER BY id LIMIT :at_most
), due AS (
    SELECT id FROM jobs AS job
    WHERE id = ANY (ARRAY(SELECT id FROM visited)) AND completed_at < now() - :age::interval AND is_purged(id)
        AND NOT EXISTS (
            SELECT FROM dead_letters AS letter
            WHERE letter.job_id = job.id AND kind = 'job' AND status IN ('open', 'replaying') OFFSET 0)
        AND NOT EXISTS (
            SELECT FROM dead_letters AS letter
            WHERE letter.job_id = job.id AND kind = 'orphan' AND status IN ('open', 'replaying') OFFSET 0)
        AND NOT EXISTS (
            SELECT FROM webhook_deliveries AS delivery
            WHERE delivery.job_id = job.id AND next_attempt_at IS NOT NULL OFFSET 0)
        AND NOT EXISTS (
            SELECT FROM idempotency_keys AS claimed
            WHERE claimed.tenant_id = job.tenant_id AND key = job.idempotency_key AND job_id = job.id OFFSET 0)
    FOR UPDATE SKIP LOCKED
), purged AS (
    DELETE FROM jobs WHERE id = ANY (ARRAY(SELECT id FROM due))
    RETURNING id, generation > 1 OR started_at IS NOT NULL AS was_tried,
        deleted_at IS NOT NULL OR outputs_removed_at IS NOT NULL AS was_swept
), unpublished AS (
    DELETE FROM outbox WHERE job_id = ANY (ARRAY(SELECT id FROM purged))
), delivered AS (
    DELETE FROM webhook_deliveries
    WHERE job_id = ANY (ARRAY(SELECT id FROM purged)) AND NOT dead_lettered AND next_attempt_at IS NULL
), to_sweep AS (
    INSERT INTO object_sweeps (job_id, due_at) SELECT id, now() FROM purged WHERE was_tried AND NOT was_swept
    ON CONFLICT (job_id) DO UPDATE SET due_at = excluded.due_at, empty_since = NULL
)
SELECT (SELECT count(*) FROM visited) AS visited, (SELECT count(*) FROM purged) AS removed,
    (SELECT id FROM visited ORDER BY id DESC LIMIT 1) AS last_id;

-- Objects

-- name: claim_sweeps(at_most, hold)
-- Moving a row's time claims it until then, so that no lock is held while S3 is asked. A job without a row was purged.
WITH claimed AS (
    UPDATE object_sweeps SET due_at = now() + :hold::interval WHERE job_id = ANY (ARRAY(
        SELECT job_id FROM object_sweeps WHERE due_at <= now()
        ORDER BY due_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, due_at, empty_since
)
SELECT claimed.job_id, due_at, coalesce(empty_since <= now() - interval '1 hour', false) AS stayed_empty,
    jobs.id IS NULL OR deleted_at IS NOT NULL AS gone, completed_at IS NOT NULL AS ended, outputs
FROM claimed LEFT JOIN LATERAL (SELECT * FROM jobs WHERE id = claimed.job_id OFFSET 0) AS jobs ON true;

-- name: end_sweep(job_id, due_at)!
-- Unless another sweep was scheduled meanwhile.
DELETE FROM object_sweeps WHERE job_id = :job_id AND due_at = :due_at;

-- name: sweep_again(job_id, due_at, found, pause)!
UPDATE object_sweeps SET
    due_at = now() + :pause::interval, empty_since = CASE WHEN :found THEN NULL ELSE coalesce(empty_since, now()) END
WHERE job_id = :job_id AND due_at = :due_at;

-- name: cancel_sweep(job_id, hold)$
-- The job's next end schedules another sweep. True while a sweep is under way, which could remove what a replay renders.
DELETE FROM object_sweeps WHERE job_id = :job_id
RETURNING due_at BETWEEN now() AND now() + :hold::interval;
