-- name: list_workers(worker, model, at_most)
-- Open sessions with the jobs that they hold. A filter that is null filters nothing.
SELECT session.id, worker, model, device, gpu_id, model_revision, versions, memory_bytes, started_at, last_beat_at,
    drain_requested_at, extract(epoch FROM now() - last_beat_at)::float8 AS silent_seconds,
    EXISTS (SELECT FROM paused_models WHERE paused_models.model = session.model) AS paused,
    (
        SELECT jsonb_agg(jsonb_build_object('id', jobs.id, 'attempt', attempt, 'started_at', jobs.started_at, 'step', step,
            'steps', steps) ORDER BY jobs.started_at)
        FROM jobs WHERE status = 'running' AND jobs.worker = session.worker
    ) AS jobs
FROM worker_sessions AS session
WHERE ended_at IS NULL AND (:worker::text IS NULL OR worker = :worker) AND (:model::text IS NULL OR model = :model)
ORDER BY worker, session.id LIMIT :at_most;

-- name: list_lost(worker, model, at_most)
-- Sessions of workers that operators were alerted of, and that did not come back. OFFSET 0 keeps the look-up of a session
-- from becoming a join with all of them.
SELECT session.id, worker, model, device, gpu_id, model_revision, versions, memory_bytes, started_at, last_beat_at,
    drain_requested_at
FROM (
    SELECT subject, (data ->> 'session_id')::uuid AS session_id FROM alerts
    WHERE kind = 'worker.lost' AND resolved_at IS NULL AND (:worker::text IS NULL OR subject = :worker)
        AND NOT EXISTS (SELECT FROM worker_sessions WHERE worker = subject AND ended_at IS NULL)
    ORDER BY subject LIMIT :at_most
) AS lost CROSS JOIN LATERAL (SELECT * FROM worker_sessions WHERE id = session_id OFFSET 0) AS session
WHERE :model::text IS NULL OR model = :model
ORDER BY worker;

-- name: count_attempts(newest)
-- Ended attempts of the last hour by worker, outcome and code, among the newest ones of all workers.
SELECT worker, outcome, error ->> 'code' AS code, count(*) AS attempts FROM (
    SELECT worker, outcome, error FROM attempts
    WHERE started_at > now() - interval '1 hour' ORDER BY started_at DESC LIMIT :newest
) AS latest
WHERE outcome IS NOT NULL GROUP BY worker, outcome, code;

-- name: request_drain(worker)^
-- Return since when the worker's open session is to drain, and whether that is new; nothing without such a session.
WITH session AS (
    SELECT id, drain_requested_at AS requested_at FROM worker_sessions
    WHERE worker = :worker AND ended_at IS NULL ORDER BY started_at DESC LIMIT 1 FOR UPDATE
)
UPDATE worker_sessions SET drain_requested_at = coalesce(requested_at, now()) FROM session
WHERE worker_sessions.id = session.id
RETURNING drain_requested_at, requested_at IS NULL AS changed;

-- name: cancel_drain(worker)^
WITH session AS (
    SELECT id, drain_requested_at AS requested_at FROM worker_sessions
    WHERE worker = :worker AND ended_at IS NULL ORDER BY started_at DESC LIMIT 1 FOR UPDATE
)
UPDATE worker_sessions SET drain_requested_at = NULL FROM session
WHERE worker_sessions.id = session.id
RETURNING requested_at, requested_at IS NOT NULL AS changed;
