-- name: find_jobs(ids)
-- Whole jobs, with how many wait before each that is queued. That count walks jobs_waiting backwards from the job and
-- stops at 1,001, so that its cost does not grow with the backlog; 1,001 stands for "more than 1,000".
SELECT
    id, tenant_id, user_id, queue AS model, merged_input(job) AS input, overrides AS edits, metadata, retried_from,
    status, version, generation, attempt, max_attempts, created_at, queued_at, started_at, completed_at, expires_at,
    deadline_at, next_attempt_at, deleted_at IS NOT NULL AS deleted, session_id,
    step, steps, error, outputs, outputs_removed_at, receipt, metrics, dead_lettered,
    CASE WHEN status = 'queued' THEN (
        SELECT count(*) FROM (
            SELECT FROM jobs AS earlier
            WHERE earlier.status = 'queued' AND earlier.queue = job.queue
                AND (earlier.queued_at, earlier.id) < (job.queued_at, job.id)
            ORDER BY earlier.queued_at DESC, earlier.id DESC
            LIMIT 1001
        ) AS ahead
    ) END AS ahead
FROM jobs AS job
WHERE id = ANY (:ids);

-- name: is_purged(job_id)$
-- Whether retention removed all jobs of that age.
SELECT is_purged(:job_id);

-- name: sample_queue(model)
-- Every hundredth waiting job of the model with its place, counted from 0. Grows with the backlog: see sampled.py.
SELECT queued_at, id, place FROM (
    SELECT queued_at, id, row_number() OVER (ORDER BY queued_at, id) - 1 AS place
    FROM jobs
    WHERE status = 'queued' AND queue = :model
) AS queue
WHERE place % 100 = 0
ORDER BY place;

-- name: measure_pace(model)^
-- How long the latest jobs of the model took, and how many workers shared them. No row counts when none is recent.
SELECT CAST(avg(extract(epoch FROM completed_at - started_at)) AS float8) AS seconds, count(DISTINCT worker) AS workers
FROM (
    SELECT started_at, completed_at, worker FROM jobs
    WHERE status = 'succeeded' AND outputs_removed_at IS NULL AND queue = :model  -- the condition of jobs_finished
        AND completed_at > now() - interval '10 minutes'
    ORDER BY completed_at DESC
    LIMIT 50
) AS latest;
