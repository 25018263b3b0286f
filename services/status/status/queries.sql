-- name: find_jobs(ids)
-- Whole jobs, with the number of jobs that wait before each queued one; 1,001 stands for "more than 1,000". The jobs of
-- a queue share one count: jobs_waiting is walked backwards from the first of them and, if that found fewer than 1,001,
-- forwards to the last of them. So the cost grows neither with the backlog nor with the number of requested jobs.
-- The SELECT hides the number of ids from the planner, which would otherwise plan each call for it, at ten times the cost
-- of the call.
WITH asked AS MATERIALIZED (
    SELECT job.*, merged_input(job) AS wanted FROM jobs AS job WHERE id = ANY ((SELECT :ids::uuid[])::uuid[])
), part AS MATERIALIZED (
    SELECT queue, first_at, last_at, (
        SELECT count(*) FROM (
            SELECT FROM jobs AS earlier
            WHERE earlier.status = 'queued' AND earlier.queue = span.queue AND earlier.queued_at < first_at
            ORDER BY earlier.queued_at DESC, earlier.id DESC
            LIMIT 1001
        ) AS counted
    ) AS ahead
    FROM (
        SELECT queue, min(queued_at) AS first_at, max(queued_at) AS last_at
        FROM asked WHERE status = 'queued' GROUP BY queue
    ) AS span
), place AS (
    SELECT later.id, part.ahead + later.nth - 1 AS ahead
    FROM part CROSS JOIN LATERAL (
        SELECT id, row_number() OVER (ORDER BY queued_at, id) AS nth
        FROM jobs WHERE status = 'queued' AND queue = part.queue AND queued_at BETWEEN first_at AND last_at
        ORDER BY queued_at, id
        LIMIT 1001 - part.ahead
    ) AS later
)
SELECT
    id, tenant_id, user_id, queue AS model, wanted AS input, overrides AS edits, metadata, retried_from,
    status, version, generation, attempt, max_attempts, created_at, queued_at, started_at, completed_at, expires_at,
    deadline_at, next_attempt_at, deleted_at IS NOT NULL AS deleted, session_id,
    step, steps, error, outputs, outputs_removed_at, receipt, metrics, dead_lettered,
    CASE WHEN status = 'queued' THEN coalesce(place.ahead, 1001) END AS ahead
FROM asked LEFT JOIN place USING (id);

-- name: is_purged(job_id)$
-- Whether retention removed all jobs of that age.
SELECT is_purged(:job_id);

-- name: sample_queue(model)
-- Waiting jobs of the model with their places, counted from 0: every hundredth of the first 10,000, every thousandth of
-- the first million, then every ten thousandth. A million jobs are 1,090 rows, which cost the event loop as much time as
-- a few requests. The walk still grows with the backlog: see sampled.py.
SELECT queued_at, id, place FROM (
    SELECT queued_at, id, row_number() OVER (ORDER BY queued_at, id) - 1 AS place
    FROM jobs
    WHERE status = 'queued' AND queue = :model
) AS queue
WHERE place % CASE WHEN place < 10000 THEN 100 WHEN place < 1000000 THEN 1000 ELSE 10000 END = 0
ORDER BY place;

-- name: measure_pace(model)^
-- Mean duration of the model's latest jobs, and the number of workers that rendered them; 0 workers without recent jobs.
SELECT CAST(avg(extract(epoch FROM completed_at - started_at)) AS float8) AS seconds, count(DISTINCT worker) AS workers
FROM (
    SELECT started_at, completed_at, worker FROM jobs
    WHERE status = 'succeeded' AND outputs_removed_at IS NULL AND queue = :model  -- the condition of jobs_finished
        AND completed_at > now() - interval '10 minutes'
    ORDER BY completed_at DESC
    LIMIT 50
) AS latest;
