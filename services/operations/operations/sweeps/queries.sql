-- Each statement acts on a bounded batch and skips rows that another process has locked. All of them run in an index walk
-- (chassis.postgres): a plan that was kept while nothing waited would read whole tables.

-- name: reap_jobs(at_most)$
SELECT reap_jobs(at_most => :at_most);

-- name: expire_jobs(at_most, error)$
SELECT count(*) FILTER (WHERE finish_job(id, generation, NULL, 'expired',
    CASE WHEN deadline_at <= now() THEN deadline_error() ELSE :error END)) FROM (
    SELECT id, generation, deadline_at FROM jobs
    WHERE status = 'queued' AND least(expires_at, deadline_at) <= now()
    ORDER BY least(expires_at, deadline_at) LIMIT :at_most FOR UPDATE SKIP LOCKED
) AS due;

-- name: server_started()$
-- Reveals a restart between two rounds, after which every connection works again.
SELECT pg_postmaster_start_time();

-- name: republish_lost_jobs(at_most)$
-- Publish a job again only when its message is proved to be lost (docs/decisions/0027); a long wait proves nothing. The
-- two proofs, by queue: a message that was stamped 60 s or more after the job's newest message has been claimed
-- (overtaken), or a live worker found the queue empty 10 s or more after that message (drained). A proof counts when it
-- is 10 s old, since a worker claims a message that it fetched, or gives up, within 5 s. Claims are read from the newest
-- on, up to a bound that covers more than the time between two rounds. A job with an outbox row is not lost: its message
-- is yet to be published. Looking each row up on its own avoids a join with the whole outbox, and `status || ''` a walk of all
-- queued jobs (docs/decisions/0054).
WITH proofs AS MATERIALIZED (
    SELECT model, max(before) AS before FROM (
        SELECT session.model, max(stamped_at) - interval '60 seconds' AS before
        FROM (
            SELECT session_id, max(stamped_at) AS stamped_at FROM (
                SELECT session_id, stamped_at FROM attempts
                WHERE started_at BETWEEN now() - interval '5 minutes' AND now() - interval '10 seconds'
                ORDER BY started_at DESC LIMIT 20000
            ) AS claims GROUP BY session_id
        ) AS newest
        CROSS JOIN LATERAL (SELECT model FROM worker_sessions WHERE id = newest.session_id OFFSET 0) AS session
        GROUP BY session.model
        UNION ALL
        SELECT model, max(answered_at) - interval '10 seconds'
        FROM worker_sessions, LATERAL (VALUES (empty_at), (empty_before_at)) AS answers (answered_at)
        WHERE ended_at IS NULL AND last_beat_at > now() - interval '1 minute'
            AND answered_at <= now() - interval '10 seconds'
        GROUP BY model
    ) AS shown
    WHERE before IS NOT NULL AND NOT EXISTS (SELECT FROM paused_models WHERE paused_models.model = shown.model)
    GROUP BY model
), lost AS (
    SELECT candidate.id, before FROM proofs CROSS JOIN LATERAL (
        SELECT id, generation FROM jobs
        WHERE status = 'queued' AND queue = proofs.model AND announced_at <= proofs.before
            AND (next_attempt_at IS NULL OR next_attempt_at <= now())
        ORDER BY announced_at LIMIT :at_most
    ) AS candidate
    WHERE (SELECT outbox.id FROM outbox
        WHERE job_id = candidate.id AND outbox.generation = candidate.generation) IS NULL
    LIMIT :at_most
), locked AS (
    SELECT job.id FROM lost CROSS JOIN LATERAL (
        SELECT id FROM jobs WHERE id = lost.id AND status || '' = 'queued' AND announced_at <= lost.before
        FOR UPDATE SKIP LOCKED
    ) AS job
), renewed AS (
    UPDATE jobs SET announced_at = clock_timestamp() WHERE id = ANY (ARRAY(SELECT id FROM locked))
    RETURNING jobs AS job
)
SELECT count(*) FROM renewed CROSS JOIN LATERAL enqueue_message(job);

-- name: end_silent_sessions(at_most)$
-- A live worker sends a heartbeat every few seconds. If the worker was only frozen, its next heartbeat opens the session
-- again.
WITH ended AS (
    UPDATE worker_sessions SET ended_at = last_beat_at WHERE id = ANY (ARRAY(
        SELECT id FROM worker_sessions
        WHERE ended_at IS NULL AND last_beat_at < now() - interval '5 minutes'
        LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM ended;
