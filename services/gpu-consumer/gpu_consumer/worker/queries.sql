-- name: open_session(id, worker, model)^
-- Return what operators want of the session. Open sessions of the same worker belong to a process that has ended.
WITH ended AS (
    UPDATE worker_sessions SET ended_at = last_beat_at WHERE worker = :worker AND ended_at IS NULL AND id <> :id
), opened AS (
    INSERT INTO worker_sessions (id, worker, model) VALUES (:id, :worker, :model) ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM paused_models WHERE model = :model) AS paused,
    EXISTS (SELECT FROM worker_sessions WHERE id = :id AND drain_requested_at IS NOT NULL) AS drained;

-- name: describe_session(id, device, gpu_id, model_revision, versions, memory_bytes)!
UPDATE worker_sessions SET device = :device, gpu_id = :gpu_id, model_revision = :model_revision, versions = :versions,
    memory_bytes = :memory_bytes
WHERE id = :id;

-- name: beat_session(id, empty_age, empty_before_age)^
-- Return what operators want of the session; nothing if there is no such session. Times are the database's: now, less the ages that
-- the worker reports.
UPDATE worker_sessions SET last_beat_at = now(), ended_at = NULL,
    empty_at = now() - make_interval(secs => :empty_age),
    empty_before_at = now() - make_interval(secs => :empty_before_age)
WHERE id = :id
RETURNING EXISTS (SELECT FROM paused_models WHERE paused_models.model = worker_sessions.model) AS paused,
    drain_requested_at IS NOT NULL AS drained;

-- name: write_no_job()!
-- Wait for what a claim waits for: jobs can't be written while an index is built, for instance.
UPDATE jobs SET step = step WHERE id = '00000000-0000-0000-0000-000000000000';

-- name: end_session(id)!
UPDATE worker_sessions SET last_beat_at = now(), ended_at = now() WHERE id = :id;

-- name: refund(tokens)$
SELECT refund_attempts(:tokens);

-- name: reap(worker)$
SELECT reap_jobs(:worker);

-- name: take_name(worker)$
-- The lock lives as long as the connection.
SELECT pg_try_advisory_lock(hashtextextended('darkroom worker ' || :worker, 0));

-- name: cancel_channel(worker)$
SELECT cancel_channel(:worker);

-- name: still_there()$
SELECT true;
