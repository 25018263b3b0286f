-- name: open_alert(kind, subject, data)$
-- Return when it was opened; null if one of the kind and subject is open.
INSERT INTO alerts (kind, subject, data) VALUES (:kind, :subject, :data)
ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO NOTHING
RETURNING opened_at;

-- name: resolve_alert(kind, subject)^
UPDATE alerts SET resolved_at = clock_timestamp()
WHERE kind = :kind AND subject = :subject AND resolved_at IS NULL
RETURNING data, opened_at, resolved_at;

-- name: tell_operators(event, data)!
SELECT record_operators_event(:event, :data);

-- name: list_open(kinds, at_most)
SELECT kind, subject FROM alerts
WHERE kind = ANY (:kinds) AND resolved_at IS NULL ORDER BY kind, subject LIMIT :at_most;

-- name: count_open(kinds, at_most)
-- Each kind is counted on its own, up to the bound.
SELECT kind, (
    SELECT count(*) FROM (
        SELECT FROM alerts WHERE alerts.kind = wanted.kind AND resolved_at IS NULL ORDER BY subject LIMIT :at_most
    ) AS open
) AS count
FROM unnest(:kinds::text[]) AS wanted (kind);

-- name: find_stalled(stalled)
-- Models whose oldest published message waits for `stalled` seconds while none of their jobs runs or was claimed in that
-- time. Paused models are left out. Models are found by a loose index scan, claims up to a bound that is far above what
-- a model that stands still has. A job whose message is in the outbox does not wait for a worker.
WITH RECURSIVE queues (name) AS (
    (SELECT queue FROM jobs WHERE status = 'queued' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM jobs WHERE status = 'queued' AND queue > name ORDER BY queue LIMIT 1)
    FROM queues WHERE name IS NOT NULL
), heads AS MATERIALIZED (
    SELECT name, head.id, head.generation, head.announced_at FROM queues CROSS JOIN LATERAL (
        SELECT id, generation, announced_at FROM jobs
        WHERE status = 'queued' AND queue = name ORDER BY announced_at LIMIT 1
    ) AS head
    WHERE name IS NOT NULL AND head.announced_at < now() - make_interval(secs => :stalled)
        AND NOT EXISTS (SELECT FROM paused_models WHERE model = name)
)
SELECT name AS model, heads.announced_at AS waiting_since, (
    SELECT count(*) FROM worker_sessions AS session WHERE session.model = name AND ended_at IS NULL
) AS workers
FROM heads
WHERE (SELECT outbox.id FROM outbox WHERE job_id = heads.id AND outbox.generation = heads.generation) IS NULL
    AND NOT EXISTS (SELECT FROM jobs WHERE status = 'running' AND queue = name)
    AND NOT EXISTS (
        SELECT FROM (
            SELECT session_id FROM attempts WHERE started_at > now() - make_interval(secs => :stalled)
            ORDER BY started_at DESC LIMIT 20000
        ) AS claim JOIN worker_sessions AS session ON session.id = claim.session_id
        WHERE session.model = name
    );

-- name: find_lost(lost)
-- Workers whose open session had no heartbeat for `lost` seconds; and those with an alert of the last day that did not
-- come back, since a session is ended after a while (see end_silent_sessions in sweeps).
SELECT worker, id::text AS session, jsonb_build_object('model', model, 'device', device, 'gpu_id', gpu_id,
    'session_id', id, 'last_beat_at', last_beat_at) AS data
FROM worker_sessions
WHERE ended_at IS NULL AND last_beat_at < now() - make_interval(secs => :lost)
UNION ALL
SELECT subject, '', data FROM alerts
WHERE kind = 'worker.lost' AND resolved_at IS NULL AND opened_at > now() - interval '1 day'
    AND NOT EXISTS (SELECT FROM worker_sessions WHERE worker = subject AND ended_at IS NULL);

-- name: find_stuck(stuck, at_most)
-- Destinations with messages that were to be published `stuck` seconds ago, among the outbox's oldest rows.
SELECT destination, min(id) AS oldest, min(created_at) AS waiting_since FROM (
    SELECT id, destination, created_at FROM outbox ORDER BY id LIMIT :at_most
) AS waiting
WHERE created_at < now() - make_interval(secs => :stuck)
GROUP BY destination;
