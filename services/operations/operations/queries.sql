-- Migrations

-- name: set_lock_timeout(timeout)$
-- For this session's later statements; 0 waits for ever.
SELECT set_config('lock_timeout', :timeout, false);

-- name: try_lock_migrations()$
-- A session's lock: it is held over all migrations and goes with the connection.
SELECT pg_try_advisory_lock(hashtextextended('darkroom.migrations', 0));

-- name: create_schema_migrations()!
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied_migrations()
SELECT version, name, sha256 FROM schema_migrations ORDER BY version;

-- name: record_migration(version, name, sha256)!
INSERT INTO schema_migrations (version, name, sha256) VALUES (:version, :name, :sha256);

-- name: invalid_indexes(migration)
-- Those that a migration's text names: CREATE INDEX CONCURRENTLY leaves one when it is interrupted, and then neither
-- works nor IF NOT EXISTS builds it again. Under the migrators' lock nobody else is building it.
SELECT relname AS name, format('DROP INDEX CONCURRENTLY %s', indexrelid::regclass) AS drop
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT indisvalid AND relkind = 'i' AND relnamespace = current_schema()::regnamespace
    AND relname = ANY (regexp_split_to_array(:migration, '\W+'))
ORDER BY relname;

-- name: oldest_transaction(besides)^
-- What a migration probably waits for. Other roles' sessions show their age to pg_read_all_stats only.
SELECT pid, usename AS role, application_name AS application, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start IS NOT NULL
    AND pid NOT IN (pg_backend_pid(), :besides)
ORDER BY xact_start LIMIT 1;

-- name: session_defaults(roles)
-- Statements that give the roles their defaults in this database, where they don't have them. They belong here and not
-- at a connection's start, where a pooler refuses them, and not in a numbered migration, since a dump leaves them out.
SELECT format('ALTER ROLE %I IN DATABASE %I SET %I = %L', rolname, datname, setting, value) AS statement
FROM (VALUES
    -- Compiling a plan costs more than any of our queries.
    ('jit', 'off'),
    -- A frozen client lets go of its row locks. The relay waits for the broker within a transaction, 5 s at the most.
    ('idle_in_transaction_session_timeout', '10s'),
    -- A vanished client is noticed after 25 s, whether or not an answer was on its way to it.
    ('tcp_keepalives_idle', '10'),
    ('tcp_keepalives_interval', '5'),
    ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '25s')
) AS defaults (setting, value)
CROSS JOIN unnest(current_user::text || :roles::text[]) AS wanted (rolname)
JOIN pg_database ON datname = current_database()
WHERE NOT EXISTS (
    SELECT FROM pg_db_role_setting
    WHERE setdatabase = pg_database.oid AND setrole = to_regrole(quote_ident(wanted.rolname))
        AND format('%s=%s', setting, value) = ANY (setconfig)
);

-- Keys

-- name: ensure_tenant(name)$
-- The update changes nothing; it makes the row come back whether it was there or not.
INSERT INTO tenants (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id;

-- name: insert_key(id, tenant_id, scope, name, secret_hash, lifetime)^
INSERT INTO api_keys (id, tenant_id, scope, name, secret_hash, expires_at)
VALUES (:id, :tenant_id, :scope, :name, :secret_hash, now() + :lifetime::interval)
RETURNING created_at, expires_at;

-- name: list_keys()
SELECT api_keys.id, scope, api_keys.name, tenants.name AS tenant, api_keys.created_at, expires_at, revoked_at
FROM api_keys JOIN tenants ON tenants.id = tenant_id
ORDER BY api_keys.created_at, api_keys.id;

-- name: revoke_key(id)^
-- The first revocation's time stays.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
FROM tenants
WHERE api_keys.id = :id AND tenants.id = tenant_id
RETURNING api_keys.id, scope, api_keys.name, tenants.name AS tenant, api_keys.created_at, expires_at, revoked_at;

-- Sweeps. Each acts on a bounded batch, and skips what another process has under its hands.

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
-- When this server came up: a restart between two rounds shows here, though every connection works again.
SELECT pg_postmaster_start_time();

-- name: republish_lost_jobs(at_most)$
-- Publish again what is shown to be lost (docs/decisions/0027); that a job waits long shows nothing. The two proofs, per
-- queue: a message stamped a minute after the job's newest one was claimed (overtaken), or a live worker's question was
-- answered "empty" ten seconds after it (drained). Both must be ten seconds old: a worker claims what it fetched, or
-- gives up, within five. Claims are read newest first and up to a bound, which covers more than the time between two
-- rounds. A job with an outbox row is yet to be published; asking for the row one by one keeps the whole outbox out.
WITH proofs AS MATERIALIZED (
    SELECT model, max(before) AS before FROM (
        SELECT session.model, max(claim.stamped_at) - interval '60 seconds' AS before
        FROM (
            SELECT session_id, stamped_at FROM attempts
            WHERE started_at BETWEEN now() - interval '5 minutes' AND now() - interval '10 seconds'
            ORDER BY started_at DESC LIMIT 20000
        ) AS claim JOIN worker_sessions AS session ON session.id = claim.session_id
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
    SELECT jobs.id FROM lost JOIN jobs USING (id)
    WHERE status = 'queued' AND announced_at <= before
    FOR UPDATE OF jobs SKIP LOCKED
), renewed AS (
    UPDATE jobs SET announced_at = clock_timestamp() FROM locked WHERE jobs.id = locked.id
    RETURNING jobs AS job
)
SELECT count(*) FROM renewed CROSS JOIN LATERAL enqueue_message(job);

-- name: end_silent_sessions(at_most)$
-- A worker beats every few seconds; one that is silent for minutes is gone. Should it only have been frozen, its next
-- beat opens the session again.
WITH ended AS (
    UPDATE worker_sessions SET ended_at = last_beat_at WHERE id IN (
        SELECT id FROM worker_sessions
        WHERE ended_at IS NULL AND last_beat_at < now() - interval '5 minutes'
        LIMIT :at_most FOR UPDATE SKIP LOCKED
    )
    RETURNING 1
)
SELECT count(*) FROM ended;

-- Ingest

-- name: fail_undeliverable(job_id, generation, error, body, headers)$
-- False unless the job is queued in that generation.
SELECT finish_job(:job_id, :generation, NULL, 'failed', :error, the_body => :body, the_headers => :headers);

-- name: attach_x_death(job_id, generation, x_death)$
UPDATE dead_letters SET x_death = coalesce(x_death, :x_death)
WHERE kind = 'job' AND job_id = :job_id AND generation = :generation
RETURNING id;

-- name: is_unknown(job_id)$
-- Whether there is no such job although retention did not remove it.
SELECT NOT is_purged(:job_id) AND NOT EXISTS (SELECT FROM jobs WHERE id = :job_id);

-- name: hold_purge()!
-- Until this transaction ends, retention moves its line past no job.
SELECT FROM instance FOR SHARE;

-- name: insert_orphan(job_id, tenant_id, generation, model, error, body, headers, x_death)$
-- Null when its job is known after all, or was purged, or the same orphan is there already.
INSERT INTO dead_letters (kind, job_id, tenant_id, generation, model, reason, error, fingerprint, body, headers, x_death)
SELECT 'orphan', :job_id, (SELECT id FROM tenants WHERE id = :tenant_id), :generation, :model,
    :error::jsonb ->> 'code', :error, error_fingerprint(:error), :body, :headers, :x_death
WHERE NOT is_purged(:job_id) AND NOT EXISTS (SELECT FROM jobs WHERE id = :job_id)
ON CONFLICT (job_id, generation) WHERE kind = 'orphan' DO NOTHING
RETURNING id;

-- name: insert_undecodable(error, body, headers, x_death)$
-- Null when the same bytes are there already.
INSERT INTO dead_letters (kind, reason, error, fingerprint, body, body_sha256, headers, x_death)
VALUES ('undecodable', :error::jsonb ->> 'code', :error, error_fingerprint(:error), :body, sha256(:body), :headers, :x_death)
ON CONFLICT (body_sha256) WHERE kind = 'undecodable' DO NOTHING
RETURNING id;

-- Dead letters

-- name: list_letters(status, at_most)
SELECT id, kind, status, job_id, generation, model, reason, error ->> 'message' AS message, fingerprint, created_at, resolved_at
FROM dead_letters
WHERE :status::text IS NULL OR status = :status
ORDER BY created_at DESC, id LIMIT :at_most;

-- name: find_letter(id)^
SELECT letter.id, letter.kind, letter.status, letter.job_id, job.status AS job_status, job.generation AS job_generation,
    tenants.name AS tenant, letter.generation, letter.model, reason, letter.error, fingerprint, body, headers, x_death,
    letter.created_at, resolved_at
FROM dead_letters AS letter
    LEFT JOIN jobs AS job ON job.id = letter.job_id
    LEFT JOIN tenants ON tenants.id = letter.tenant_id
WHERE letter.id = :id;

-- name: list_attempts(job_id)
SELECT generation, attempt, worker, started_at, ended_at, outcome, error
FROM attempts WHERE job_id = :job_id ORDER BY started_at, attempt;

-- Replay: one transaction of these steps. The job is locked before its letters, as by whoever finishes or deletes it.

-- name: find_candidate(id)^
SELECT kind, job_id, generation, body FROM dead_letters WHERE id = :id;

-- name: lock_job(id)^
SELECT status, generation, deleted_at IS NOT NULL AS deleted FROM jobs WHERE id = :id FOR UPDATE;

-- name: lock_letter(id)$
SELECT status FROM dead_letters WHERE id = :id FOR UPDATE;

-- name: forget_sweep(job_id, hold)$
-- The job's next end asks for another one. True while a sweep is under way, which might remove what is rendered anew.
DELETE FROM object_sweeps WHERE job_id = :job_id
RETURNING due_at BETWEEN now() AND now() + :hold::interval;

-- name: requeue_dead_job(job_id, generation)$
-- failed -> queued. Returns the new generation, or null unless the job failed in the given one and was not deleted.
UPDATE jobs SET
    status = 'queued', generation = generation + 1, attempt = 0, dead_lettered = false,
    queued_at = now(), expires_at = now() + ttl, started_at = NULL, completed_at = NULL, next_attempt_at = NULL,
    cancel_requested_at = NULL, worker = NULL, session_id = NULL, step = NULL, steps = NULL,
    error = NULL, receipt = NULL, metrics = NULL, deadline_at = now() + deadline, announced_at = now()
WHERE id = :job_id AND status = 'failed' AND generation = :generation AND deleted_at IS NULL
RETURNING generation;

-- name: enqueue_message(job_id)!
SELECT enqueue_message(jobs) FROM jobs WHERE id = :job_id;

-- name: mark_replaying(id)!
UPDATE dead_letters SET status = 'replaying' WHERE id = :id AND status = 'open';

-- name: find_tenant(id)$
SELECT id FROM tenants WHERE id = :id;

-- name: newest_orphan(job_id)^
-- The latest generation of a job of which only messages are left, and the latest that any letter of it names.
SELECT id, generation, (SELECT max(generation) FROM dead_letters WHERE job_id = :job_id) AS latest
FROM dead_letters WHERE job_id = :job_id AND kind = 'orphan'
ORDER BY generation DESC LIMIT 1;

-- name: revive_job(job)$
-- Make a job again from its message, in a generation that no letter names. Null where the job is there, or was purged.
INSERT INTO jobs (id, tenant_id, key_id, user_id, model, input, metadata, webhook_url, webhook_events, traceparent,
    retried_from, idempotency_key, priority, cost, generation, created_at, ttl, expires_at, deadline, deadline_at)
SELECT id, tenant_id, key_id, user_id, model, input, metadata, webhook_url, webhook_events, traceparent, retried_from,
    idempotency_key, priority, cost, generation, greatest(least(created_at, now()), 'epoch'), make_interval(secs => ttl_seconds),
    now() + make_interval(secs => ttl_seconds), make_interval(secs => deadline_seconds),
    now() + make_interval(secs => deadline_seconds)
FROM jsonb_to_record(:job::jsonb) AS job (
    id uuid, tenant_id uuid, key_id text, user_id text, model text, input jsonb, metadata jsonb, webhook_url text,
    webhook_events text[], traceparent text, retried_from uuid, idempotency_key text, priority smallint, cost bigint,
    generation integer, created_at timestamptz, ttl_seconds integer, deadline_seconds integer)
WHERE NOT is_purged(id)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: restore_key(tenant_id, key, body_hash, job_id)$
-- Returns the job that the key stands for afterwards.
WITH restored AS (
    INSERT INTO idempotency_keys (tenant_id, key, body_hash, job_id)
    VALUES (:tenant_id, :key, :body_hash, :job_id)
    ON CONFLICT (tenant_id, key) DO UPDATE SET job_id = idempotency_keys.job_id
    RETURNING job_id
)
SELECT job_id FROM restored;

-- name: mark_orphans_replaying(job_id)!
-- Those of earlier generations are answered by the same replay.
UPDATE dead_letters SET status = 'replaying' WHERE job_id = :job_id AND kind = 'orphan' AND status = 'open';

-- name: record_audit(actor, action, subject)!
INSERT INTO audit_log (actor, action, subject) VALUES (:actor, :action, :subject);

-- Metrics: counts stop at a bound, so that their cost does not grow with the backlog. All of them run in an index walk
-- (chassis.postgres), in the order of an index: queues and destinations are skipped through, one look-up each.

-- name: count_jobs(at_most)
-- Waiting jobs are counted up to the bound for each model, running ones in all.
WITH RECURSIVE queues (name) AS (
    (SELECT queue FROM jobs WHERE status = 'queued' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM jobs WHERE status = 'queued' AND queue > name ORDER BY queue LIMIT 1)
    FROM queues WHERE name IS NOT NULL
)
SELECT 'queued' AS status, name AS model, (
    SELECT count(*) FROM (
        SELECT FROM jobs WHERE status = 'queued' AND queue = name ORDER BY queued_at, id LIMIT :at_most
    ) AS queued
) AS count
FROM queues WHERE name IS NOT NULL
UNION ALL
SELECT 'running', queue, count(*) FROM (
    SELECT queue FROM jobs WHERE status = 'running' ORDER BY worker LIMIT :at_most
) AS running GROUP BY queue;

-- name: measure_outbox(at_most)^
WITH RECURSIVE destinations (name) AS (
    (SELECT destination FROM outbox ORDER BY destination LIMIT 1)
    UNION ALL
    SELECT (SELECT destination FROM outbox WHERE destination > name ORDER BY destination LIMIT 1)
    FROM destinations WHERE name IS NOT NULL
), firsts AS (
    SELECT (SELECT available_at FROM outbox WHERE destination = name ORDER BY available_at LIMIT 1) FROM destinations
)
SELECT
    (SELECT count(*) FROM (SELECT FROM outbox ORDER BY id LIMIT :at_most) AS waiting) AS depth,
    coalesce(extract(epoch FROM now() - (SELECT min(available_at) FROM firsts)), 0)::float8 AS age;

-- name: count_open_letters(at_most)
SELECT kind, count(*) FROM (
    SELECT kind FROM dead_letters WHERE status = 'open' ORDER BY created_at DESC, id LIMIT :at_most
) AS open GROUP BY kind;
