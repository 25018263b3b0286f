-- A job is looked up by its id. With `status || ''` instead of `status`, no partial index of jobs in a status answers that:
-- planned while such an index is empty, a kept plan would walk all of it (docs/decisions/0054).

-- name: claim(job_id, generation, token, worker, session, lease, stamped_at, rendered)^
-- Claim the job: the protocol's guard, the attempt's row and the started event in one statement.
-- A token begins one attempt: a claim whose answer was lost, repeated after that attempt was reaped, claims nothing.
-- Neither time nor a pause keeps a finished render (`rendered`) from its job.
-- The GPU waits for this commit, the only one that need not reach the disk (docs/decisions/0019).
WITH claimed AS (
    UPDATE jobs SET
        status = 'running', attempt = attempt + 1, worker = :worker, session_id = :session, started_at = now(),
        next_attempt_at = NULL, lease_token = :token, lease_expires_at = now() + :lease, step = NULL, steps = NULL
    WHERE id = :job_id AND generation = :generation AND status || '' = 'queued' AND cancel_requested_at IS NULL
        AND attempt < max_attempts
        AND (:rendered OR (
            expires_at > now() AND (deadline_at IS NULL OR deadline_at > now())
            AND (next_attempt_at IS NULL OR next_attempt_at <= now())
            AND NOT EXISTS (SELECT FROM paused_models WHERE model = queue)))
        AND NOT EXISTS (SELECT FROM attempts WHERE lease_token = :token)
    RETURNING jobs AS job
), begun AS (
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker, session_id, stamped_at)
    SELECT (job).lease_token, (job).id, (job).generation, (job).attempt, (job).worker, (job).session_id, :stamped_at
    FROM claimed
)
SELECT (job).id, (job).generation, (job).lease_token, (job).attempt, (job).queue AS model, merged_input(job) AS input,
    (job).error ->> 'code' AS previous_error,
    extract(epoch FROM (job).deadline_at - now())::float8 AS deadline_seconds,
    (SELECT count(*)::int FROM attempts
     WHERE job_id = (job).id AND generation = (job).generation AND NOT refunded
        AND error ->> 'code' = 'render_process_lost')
        AS process_losses,
    record_delivery(job, 'job.started'), set_config('synchronous_commit', 'off', true)
FROM claimed;

-- name: look(job_id)^
-- Return why there was nothing to claim. The token shows a claim whose answer was lost. Without the job, only the
-- columns of the instance are filled.
SELECT jobs.id, generation, status, lease_token, attempt, queue AS model, merged_input(jobs) AS input,
    error ->> 'code' AS previous_error, dead_lettered,
    extract(epoch FROM deadline_at - now())::float8 AS deadline_seconds,
    (SELECT count(*)::int FROM attempts
     WHERE job_id = jobs.id AND generation = jobs.generation AND NOT refunded
        AND error ->> 'code' = 'render_process_lost')
        AS process_losses,
    next_attempt_at IS NOT NULL AS waits,
    (extract(epoch FROM next_attempt_at - now()) * 1000)::float8 AS wait_ms,
    EXISTS (SELECT FROM paused_models WHERE paused_models.model = queue) AS paused,
    instance.id AS instance_id, is_purged(:job_id) AS purged
FROM instance LEFT JOIN jobs ON jobs.id = :job_id;

-- name: note_parked(job_id, generation, wait)!
-- A newer message may reach the queue later than the parked one.
UPDATE jobs SET announced_at = greatest(announced_at, clock_timestamp() + :wait)
WHERE id = :job_id AND generation = :generation AND status || '' = 'queued';

-- name: heartbeat(job_id, token, lease, step, steps)^
UPDATE jobs SET lease_expires_at = now() + :lease, step = :step, steps = :steps
WHERE id = :job_id AND lease_token = :token AND status || '' = 'running'
RETURNING cancel_requested_at IS NOT NULL AS cancel_requested,
    extract(epoch FROM now() - cancel_requested_at)::float8 AS cancel_age;

-- name: finish(job_id, generation, token, status, error, outputs, receipt, metrics, body, headers)$
SELECT finish_job(:job_id, :generation, :token, :status, :error, :outputs, :receipt, :metrics, :body, :headers);

-- name: give_back(job_id, token, outcome, error, lane, delay, body, headers)$
SELECT return_job(:job_id, :token, :outcome, :error, :lane, :delay, :body, :headers);

-- name: add_detail(token, detail)!
-- Only operators see the detail: it must not be on the job's record, which its submitter reads.
UPDATE attempts SET error = error || :detail WHERE lease_token = :token AND error IS NOT NULL;
