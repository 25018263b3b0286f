-- Rows that go by their age alone. Each statement takes a bounded batch, the oldest first, passes over what another
-- process has under its hands, and returns how many rows went.
--
-- A batch is an array, and OFFSET 0 keeps a look-up one: planned for a bound that it does not know, Postgres would join
-- whole tables instead.

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
-- Only resolved ones have a time of resolution.
WITH pruned AS (
    DELETE FROM dead_letters WHERE id = ANY (ARRAY(
        SELECT id FROM dead_letters
        WHERE resolved_at < now() - :age::interval
        ORDER BY resolved_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM pruned;

-- name: prune_deliveries(at_most, age)$
-- Those of which nothing more will be sent.
WITH pruned AS (
    DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(
        SELECT id FROM webhook_deliveries
        WHERE next_attempt_at IS NULL AND created_at < now() - :age::interval
        ORDER BY created_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM pruned;

-- name: prune_sessions(at_most, age)$
-- Ended so long ago that all attempts of theirs are old enough to go, except those that an old attempt still names.
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

-- name: expire_pictures(at_most, age)$
-- The record says that its pictures are gone before they go; the sweep of objects removes what outputs don't list.
-- jobs_finished is read queue by queue, since it begins with that, and what is done leaves it.
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

-- Rows that must go by, since some of them are to be kept: a pass goes over all that is old enough, in the order of an
-- index, and begins each batch where the last one ended.

-- name: prune_attempts(after_time, after_token, at_most, age)^
-- Attempts that ended, but for those of jobs whose dead letter somebody may want to look at.
WITH walked AS MATERIALIZED (
    SELECT lease_token, job_id, started_at, ended_at FROM attempts
    WHERE started_at < now() - :age::interval AND (started_at, lease_token) > (:after_time, :after_token)
    ORDER BY started_at, lease_token LIMIT :at_most
), pruned AS (
    DELETE FROM attempts WHERE lease_token = ANY (ARRAY(
        SELECT lease_token FROM walked
        WHERE ended_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM dead_letters AS letter
            WHERE letter.job_id = walked.job_id AND kind = 'job' AND status IN ('open', 'replaying') OFFSET 0)
    ))
    RETURNING 1
), last AS (
    SELECT started_at, lease_token FROM walked ORDER BY started_at DESC, lease_token DESC LIMIT 1
)
SELECT (SELECT count(*) FROM walked) AS walked, (SELECT count(*) FROM pruned) AS removed,
    (SELECT started_at FROM last) AS last_time, (SELECT lease_token FROM last) AS last_token;

-- name: lock_instance()!
SELECT FROM instance FOR UPDATE;

-- name: advance_purge(age)$
-- To be committed before a job is purged: from then on ids older than this name purged jobs to everybody. Never lowered,
-- and never past an open orphan, which may yet become a job again.
UPDATE instance SET purged_before = greatest(purged_before, least(now() - :age::interval, (
    SELECT min(uuid_extract_timestamp(job_id)) FROM dead_letters WHERE kind = 'orphan' AND status = 'open')))
RETURNING purged_before;

-- name: purge_jobs(after, before, at_most, age)^
-- Jobs that ended long ago, unless something holds them: an open letter, a delivery that is to be sent, an
-- Idempotency-Key that stands for them. Attempts and deliveries go with them by their foreign keys.
WITH walked AS MATERIALIZED (
    SELECT id FROM jobs WHERE id > :after AND id < :before ORDER BY id LIMIT :at_most
), due AS (
    SELECT id FROM jobs AS job
    WHERE id = ANY (ARRAY(SELECT id FROM walked)) AND completed_at < now() - :age::interval AND is_purged(id)
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
), to_sweep AS (
    INSERT INTO object_sweeps (job_id, due_at) SELECT id, now() FROM purged WHERE was_tried AND NOT was_swept
    ON CONFLICT (job_id) DO UPDATE SET due_at = excluded.due_at, empty_since = NULL
)
SELECT (SELECT count(*) FROM walked) AS walked, (SELECT count(*) FROM purged) AS removed,
    (SELECT id FROM walked ORDER BY id DESC LIMIT 1) AS last_id;

-- Objects

-- name: claim_sweeps(at_most, hold)
-- Whoever moves a row's time has it until then: no lock is held while S3 is asked. A job without a row was purged.
WITH claimed AS (
    UPDATE object_sweeps SET due_at = now() + :hold::interval WHERE job_id = ANY (ARRAY(
        SELECT job_id FROM object_sweeps WHERE due_at <= now()
        ORDER BY due_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, due_at, empty_since
)
SELECT claimed.job_id, due_at, coalesce(empty_since <= now() - interval '1 hour', false) AS stayed_empty,
    jobs.id IS NULL OR deleted_at IS NOT NULL AS gone, completed_at IS NOT NULL AS ended, outputs
FROM claimed LEFT JOIN jobs ON jobs.id = claimed.job_id;

-- name: end_sweep(job_id, due_at)!
-- Unless somebody asked for another one meanwhile.
DELETE FROM object_sweeps WHERE job_id = :job_id AND due_at = :due_at;

-- name: sweep_again(job_id, due_at, found, pause)!
UPDATE object_sweeps SET
    due_at = now() + :pause::interval, empty_since = CASE WHEN :found THEN NULL ELSE coalesce(empty_since, now()) END
WHERE job_id = :job_id AND due_at = :due_at;
