-- name: claim(job_id, generation, token, worker, lease)^
-- Take the job, if it may be taken: the protocol's guard, the attempt's row and the started event in one statement.
-- A token begins one attempt: a claim whose answer was lost, repeated when that attempt was reaped, takes nothing.
-- The GPU waits for this commit, and it alone need not reach the disk (docs/decisions/0019).
WITH claimed AS (
    UPDATE jobs SET
        status = 'running', attempt = attempt + 1, worker = :worker, started_at = now(), next_attempt_at = NULL,
        lease_token = :token, lease_expires_at = now() + :lease, step = NULL, steps = NULL
    WHERE id = :job_id AND generation = :generation AND status = 'queued' AND cancel_requested_at IS NULL
        AND attempt < max_attempts AND expires_at > now() AND (next_attempt_at IS NULL OR next_attempt_at <= now())
        AND NOT EXISTS (SELECT FROM attempts WHERE lease_token = :token)
    RETURNING jobs AS job
), begun AS (
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker)
    SELECT (job).lease_token, (job).id, (job).generation, (job).attempt, (job).worker FROM claimed
)
SELECT (job).id, (job).generation, (job).lease_token, (job).attempt, (job).queue AS model, merged_input(job) AS input,
    (job).error ->> 'code' AS previous_error,
    (SELECT count(*)::int FROM attempts
     WHERE job_id = (job).id AND generation = (job).generation AND error ->> 'code' = 'render_process_lost')
        AS process_losses,
    record_delivery(job, 'job.started'), set_config('synchronous_commit', 'off', true)
FROM claimed;

-- name: look(job_id)^
-- Why there was nothing to claim. A claim whose answer was lost shows here by its token.
SELECT id, generation, status, lease_token, attempt, queue AS model, merged_input(jobs) AS input, error ->> 'code' AS previous_error, dead_lettered,
    (SELECT count(*)::int FROM attempts
     WHERE job_id = jobs.id AND generation = jobs.generation AND error ->> 'code' = 'render_process_lost')
        AS process_losses,
    next_attempt_at IS NOT NULL AS waits,
    (extract(epoch FROM next_attempt_at - now()) * 1000)::float8 AS wait_ms
FROM jobs WHERE id = :job_id;

-- name: heartbeat(job_id, token, lease, step, steps)^
UPDATE jobs SET lease_expires_at = now() + :lease, step = :step, steps = :steps
WHERE id = :job_id AND lease_token = :token AND status = 'running'
RETURNING cancel_requested_at IS NOT NULL AS cancel_requested,
    extract(epoch FROM now() - cancel_requested_at)::float8 AS cancel_age;

-- name: finish(job_id, generation, token, status, error, outputs, receipt, metrics, body, headers)$
SELECT finish_job(:job_id, :generation, :token, :status, :error, :outputs, :receipt, :metrics, :body, :headers);

-- name: give_back(job_id, token, outcome, error, lane, delay, body, headers)$
SELECT return_job(:job_id, :token, :outcome, :error, :lane, :delay, :body, :headers);

-- name: add_detail(token, detail)!
-- What only operators see: it must not be on the job's record, which its submitter reads.
UPDATE attempts SET error = error || :detail WHERE lease_token = :token AND error IS NOT NULL;

-- name: reap(worker)$
SELECT reap_jobs(:worker);

-- name: take_name(worker)$
-- The lock lives as long as the connection.
SELECT pg_try_advisory_lock(hashtextextended('darkroom worker ' || :worker, 0));

-- name: cancel_channel(worker)$
SELECT cancel_channel(:worker);

-- name: still_there()$
SELECT true;
