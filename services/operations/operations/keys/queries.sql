-- name: ensure_tenant(name)$
-- The update changes nothing; it makes RETURNING answer for an existing row as well.
INSERT INTO tenants (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id;

-- name: insert_key(id, tenant_id, scope, name, secret_hash, lifetime)!
INSERT INTO api_keys (id, tenant_id, scope, name, secret_hash, expires_at)
VALUES (:id, :tenant_id, :scope, :name, :secret_hash, now() + :lifetime::interval);

-- name: insert_successor(id, secret_hash, lifetime, replaces)!
-- Without a lifetime the new key has that of the old one.
INSERT INTO api_keys (id, tenant_id, scope, name, secret_hash, expires_at)
SELECT :id, tenant_id, scope, name, :secret_hash, now() + coalesce(:lifetime::interval, expires_at - created_at)
FROM api_keys WHERE id = :replaces;

-- name: read_keys(id, tenant, scope, statuses, before, expiring, within, at_most)
-- One key, or the newest before another key that match the filters.
WITH keys AS (
    SELECT key.id, scope, key.name, tenants.name AS tenant, key.created_at, expires_at, revoked_at, last_used_at,
        replaced_by, cancels_jobs, CASE
            WHEN revoked_at IS NOT NULL THEN 'revoked'
            WHEN expires_at <= now() THEN 'expired'
            WHEN expires_at <= now() + :expiring::interval THEN 'expiring'
            ELSE 'active'
        END AS status
    FROM api_keys AS key JOIN tenants ON tenants.id = tenant_id
)
SELECT id, scope, name, tenant, created_at, expires_at, revoked_at, last_used_at, replaced_by, cancels_jobs, status
FROM keys
WHERE (:id::text IS NULL OR id = :id) AND (:tenant::text IS NULL OR tenant = :tenant)
    AND (:scope::text IS NULL OR scope = :scope) AND (:statuses::text[] IS NULL OR status = ANY (:statuses))
    AND (:within::interval IS NULL OR (expires_at <= now() + :within AND status IN ('active', 'expiring')))
    AND (:before::text IS NULL OR (created_at, id) < (
        SELECT earlier.created_at, earlier.id FROM api_keys AS earlier WHERE earlier.id = :before))
ORDER BY created_at DESC, id DESC LIMIT :at_most;

-- name: count_by_expiry(expiring, in_use)
-- By scope: keys that expire soon and have no successor, and expired ones that somebody still sends.
SELECT scope,
    count(*) FILTER (WHERE expires_at > now() AND replaced_by IS NULL) AS expiring,
    count(*) FILTER (
        WHERE last_used_at > expires_at AND last_used_at > now() - :in_use::interval
    ) AS expired_in_use
FROM api_keys WHERE revoked_at IS NULL AND expires_at <= now() + :expiring::interval GROUP BY scope;

-- name: lock_key(id)$
SELECT id FROM api_keys WHERE id = :id FOR UPDATE;

-- name: replace_key(id, replaced_by, overlap)!
UPDATE api_keys SET replaced_by = :replaced_by, expires_at = least(expires_at, now() + :overlap::interval)
WHERE id = :id AND revoked_at IS NULL AND replaced_by IS NULL;

-- name: revoke_key(id, cancels_jobs)!
-- A second revocation keeps the time of the first.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()), cancels_jobs = cancels_jobs OR :cancels_jobs
WHERE id = :id;

-- name: find_canceling()
-- The revoked keys whose jobs are to be canceled, with the time.
SELECT id, now() AS at FROM api_keys WHERE cancels_jobs;

-- name: end_canceling(ids, began_at, settled)!
-- Of keys that had been revoked for a while when the walk began: requests that were let in before have committed.
UPDATE api_keys SET cancels_jobs = false
WHERE id = ANY (:ids) AND cancels_jobs AND revoked_at <= :began_at::timestamptz - :settled::interval;

-- name: cancel_waiting(keys, queue, queued_at, id, at_most)^
-- Walk the queued jobs of all keys from a position, since no index finds those of a key, and cancel those of these keys.
-- Return how many of theirs were found, and the last position, which is null at the end. A job that is locked is being
-- claimed or canceled; it is found and not canceled. The status is left to finish_job(): with a condition on it in the
-- look-up by id, Postgres may choose any index of queued jobs, and read all of it for each job.
WITH walked AS MATERIALIZED (
    SELECT id, queue, queued_at, key_id FROM jobs
    WHERE status = 'queued' AND (queue, queued_at, id) > (:queue, :queued_at::timestamptz, :id::uuid)
    ORDER BY queue, queued_at, id LIMIT :at_most
), locked AS MATERIALIZED (
    SELECT job.id, generation FROM walked CROSS JOIN LATERAL (
        SELECT id, generation FROM jobs WHERE id = walked.id FOR UPDATE SKIP LOCKED
    ) AS job
    WHERE walked.key_id = ANY (:keys)
)
SELECT found, canceled, last.queue, last.queued_at, last.id
FROM (SELECT count(*) AS found FROM walked WHERE key_id = ANY (:keys)) AS theirs
    CROSS JOIN (
        SELECT count(*) FILTER (WHERE finish_job(id, generation, NULL, 'canceled')) AS canceled FROM locked
    ) AS ended
    LEFT JOIN LATERAL (
        SELECT queue, queued_at, id FROM walked ORDER BY queue DESC, queued_at DESC, id DESC LIMIT 1
    ) AS last ON true;

-- name: request_cancels(keys)$
-- Ask the workers that render these keys' jobs to stop. Return how many were asked.
WITH requested AS (
    UPDATE jobs SET cancel_requested_at = now()
    WHERE status = 'running' AND key_id = ANY (:keys) AND cancel_requested_at IS NULL
    RETURNING id, worker
)
SELECT count(pg_notify(cancel_channel(worker), id::text)) FROM requested;
