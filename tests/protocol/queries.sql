-- What the tests read and how they move time. Every write of the protocol itself is the product's own.

-- name: observe()$
-- All that the invariants speak of, as one document. Only a proof that a test planted, by making an attempt or an answer
-- older, is surely old enough to count; that one which came about by itself is so depends on the machine's speed.
WITH announced AS (
    SELECT jobs.id,
        EXISTS (SELECT FROM worker_sessions WHERE worker = 'witness') OR EXISTS (
            SELECT FROM attempts WHERE stamped_at > jobs.announced_at + interval '61 seconds'
                AND attempts.started_at BETWEEN now() - interval '1 minute' AND now() - interval '20 seconds') AS proven,
        EXISTS (SELECT FROM attempts WHERE stamped_at > jobs.announced_at + interval '59 seconds') AS doubtful
    FROM jobs
    WHERE status = 'queued' AND announced_at < now() - interval '10 minutes'
        AND (next_attempt_at IS NULL OR next_attempt_at <= now())
        AND NOT EXISTS (SELECT FROM paused_models WHERE model = queue)
)
SELECT jsonb_build_object(
    'jobs', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', id, 'status', status, 'version', version, 'generation', generation, 'attempt', attempt,
        'max_attempts', max_attempts, 'refunds', refunds, 'worker', worker, 'lease_token', lease_token,
        'cancel_requested', cancel_requested_at IS NOT NULL, 'expired', least(expires_at, deadline_at) <= now(),
        'waiting', coalesce(next_attempt_at > now(), false),
        'lease_over', coalesce(lease_expires_at < now(), false), 'dead_lettered', dead_lettered,
        'deadline', deadline IS NOT NULL, 'too_late', coalesce(next_attempt_at >= deadline_at, false),
        'deleted', deleted_at IS NOT NULL, 'error', error, 'outputs', outputs, 'step', step,
        'wanted_events', CASE WHEN webhook_url IS NULL THEN '{}' ELSE webhook_events END
    ) ORDER BY id), '[]') FROM jobs),
    'outbox', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'job_id', job_id, 'generation', generation, 'lane', lane, 'failures', failures
    ) ORDER BY id), '[]') FROM outbox),
    'attempts', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'lease_token', lease_token, 'job_id', job_id, 'generation', generation, 'attempt', attempt,
        'worker', worker, 'outcome', outcome, 'refunded', refunded
    ) ORDER BY started_at, lease_token), '[]') FROM attempts),
    'letters', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', id, 'kind', kind, 'status', status, 'job_id', job_id, 'generation', generation, 'reason', reason,
        'has_body', body IS NOT NULL, 'has_x_death', x_death IS NOT NULL
    ) ORDER BY created_at, job_id, generation, id), '[]') FROM dead_letters),
    'deliveries', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'job_id', job_id, 'event', event, 'job_version', job_version
    ) ORDER BY job_id, job_version), '[]') FROM webhook_deliveries),
    'ledger', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'job_id', job_id, 'generation', generation, 'version', version, 'old_status', old_status,
        'status', status, 'lease_token', lease_token, 'cancel_requested', cancel_requested
    ) ORDER BY id), '[]') FROM ledger),
    'keys', (SELECT coalesce(jsonb_object_agg(key, job_id), '{}') FROM idempotency_keys),
    'paused', EXISTS (SELECT FROM paused_models),
    'purged_before_ms', (SELECT (extract(epoch FROM purged_before) * 1000)::bigint FROM instance),
    'lost', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM announced WHERE proven),
    'perhaps_lost', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM announced WHERE proven OR doubtful)
);

-- name: add_tenant()$
INSERT INTO tenants (name) VALUES ('default') ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id;

-- name: forget_everything()!
TRUNCATE jobs, outbox, attempts, worker_sessions, paused_models, object_sweeps, webhook_deliveries, webhook_attempts,
    dead_letters, dead_letter_deltas, idempotency_keys, ledger RESTART IDENTITY;

-- name: forget_purges()!
UPDATE instance SET purged_before = 'epoch';

-- name: lease_run_out(job_id)!
UPDATE jobs SET lease_expires_at = now() - interval '1 hour' WHERE id = :job_id AND status = 'running';

-- name: job_expire(job_id)!
UPDATE jobs SET expires_at = now() - interval '1 hour' WHERE id = :job_id;

-- name: wait_be_over(job_id)!
UPDATE jobs SET next_attempt_at = now() - interval '1 hour' WHERE id = :job_id AND next_attempt_at IS NOT NULL;

-- name: deadline_pass(job_id)!
UPDATE jobs SET deadline_at = now() - interval '1 hour' WHERE id = :job_id AND deadline_at IS NOT NULL;

-- name: time_pass()!
-- An hour, for all messages that can have reached the queue. Nothing is shown by that: answers and claims age, too.
WITH aged AS (
    DELETE FROM worker_sessions WHERE worker = 'witness'
), forgotten AS (
    UPDATE attempts SET stamped_at = stamped_at - interval '1 hour'
)
UPDATE jobs SET announced_at = announced_at - interval '1 hour' WHERE announced_at <= now();

-- name: queue_be_found_empty()!
-- A living worker asked the queue when nothing was in it, and was answered "empty".
INSERT INTO worker_sessions (id, worker, model, empty_at)
VALUES ('00000000-0000-0000-0000-000000000001', 'witness', 'tiny', now() - interval '20 seconds')
ON CONFLICT (id) DO UPDATE SET last_beat_at = now(), empty_at = excluded.empty_at;

-- name: message_be_overtaken(token)!
-- What was claimed so was stamped just now, and claimed a while ago.
UPDATE attempts SET stamped_at = now(), started_at = now() - interval '30 seconds' WHERE lease_token = :token;

-- name: republish_be_due(job_id)!
UPDATE jobs SET announced_at = now() - interval '1 hour' WHERE id = :job_id AND status = 'queued';

-- name: outbox_be_due()!
-- Rows that a failed publish pushed into the future come back.
UPDATE outbox SET available_at = now();

-- name: without_triggers()!
-- For this transaction.
SET LOCAL session_replication_role = 'replica';

-- name: lose_claim(job_id)!
-- Postgres crashed before the claim's commit was on the disk: nothing of it ever was.
WITH lost AS (
    SELECT id, version, lease_token FROM jobs WHERE id = :job_id AND status = 'running'
), attempt AS (
    DELETE FROM attempts USING lost WHERE attempts.lease_token = lost.lease_token
), delivery AS (
    DELETE FROM webhook_deliveries USING lost
    WHERE job_id = lost.id AND job_version = lost.version AND event = 'job.started'
), entry AS (
    DELETE FROM ledger USING lost WHERE ledger.lease_token = lost.lease_token
)
UPDATE jobs SET status = 'queued', version = jobs.version - 1, attempt = attempt - 1, lease_token = NULL,
    lease_expires_at = NULL, worker = NULL, session_id = NULL, started_at = NULL, step = NULL, steps = NULL
FROM lost WHERE jobs.id = lost.id;

-- name: job_be_forgotten(job_id)!
-- The database was restored from a backup that is older than the job.
WITH letters AS (
    DELETE FROM dead_letters WHERE job_id = :job_id
), messages AS (
    DELETE FROM outbox WHERE job_id = :job_id
), deliveries AS (
    DELETE FROM webhook_deliveries WHERE job_id = :job_id
), keys AS (
    DELETE FROM idempotency_keys WHERE job_id = :job_id
), sweeps AS (
    DELETE FROM object_sweeps WHERE job_id = :job_id
)
DELETE FROM jobs WHERE id = :job_id;

-- name: end_be_long_ago(job_id)!
-- The job ended, its webhooks were sent and its Idempotency-Key was forgotten, all long ago.
WITH sent AS (
    UPDATE webhook_deliveries SET status = 'succeeded', next_attempt_at = NULL, finished_at = now()
    WHERE job_id = :job_id AND status = 'pending'
), keys AS (
    DELETE FROM idempotency_keys WHERE job_id = :job_id
)
UPDATE jobs SET completed_at = now() - interval '30 days' WHERE id = :job_id AND completed_at IS NOT NULL;

-- name: letters_be_old(job_id)!
UPDATE dead_letters SET resolved_at = now() - interval '30 days' WHERE job_id = :job_id AND resolved_at IS NOT NULL;

-- name: model_be_paused()!
INSERT INTO paused_models (model, paused_by, reason) VALUES ('tiny', 'test', 'to see what happens');

-- name: model_be_resumed()!
DELETE FROM paused_models;
