-- A caller reaches the endpoints of its tenant and, with an operator's key, those of the operators. Deleted ones stay for
-- the log of their deliveries, and are unknown here. An id that is null stands for the implicit endpoint.

-- name: find_endpoint(id, tenant_id, operator)^
SELECT *, previous_until > now() AS has_previous FROM webhook_endpoints
WHERE id = coalesce(:id::uuid, (SELECT id FROM webhook_endpoints WHERE tenant_id = :tenant_id AND implicit))
    AND deleted_at IS NULL AND (tenant_id = :tenant_id OR (tenant_id IS NULL AND :operator::boolean));

-- name: lock_endpoint(id)^
-- Of one that was found. Changes of an endpoint happen one after the other: each begins with the row that the one before
-- it left.
SELECT *, previous_until > now() AS has_previous FROM webhook_endpoints
WHERE id = :id AND deleted_at IS NULL FOR NO KEY UPDATE;

-- name: list_endpoints(tenant_id)
-- Without a tenant the operators'.
SELECT *, previous_until > now() AS has_previous FROM webhook_endpoints
WHERE deleted_at IS NULL AND (tenant_id = :tenant_id::uuid OR (:tenant_id IS NULL AND tenant_id IS NULL))
ORDER BY implicit DESC, created_at, id;

-- name: lock_creations(tenant_id)!
-- Creations for a tenant, or for the operators, happen one after the other, so that each counts those before it.
SELECT pg_advisory_xact_lock(
    hashtextextended('darkroom webhook endpoints of ' || coalesce(:tenant_id::uuid::text, 'the operators'), 0));

-- name: count_standing(tenant_id)$
SELECT count(*) FROM webhook_endpoints
WHERE deleted_at IS NULL AND NOT implicit
    AND (tenant_id = :tenant_id::uuid OR (:tenant_id IS NULL AND tenant_id IS NULL));

-- name: spend_allowance(tenant_id, act, each, at_once)$
-- Count an act unless it exceeds the rate, one every `each` with `at_once` of them together.
INSERT INTO webhook_allowances AS allowance (tenant_id, act, spent_until)
VALUES (:tenant_id, :act, clock_timestamp() + :each)
ON CONFLICT (tenant_id, act) DO UPDATE SET spent_until = greatest(allowance.spent_until, clock_timestamp()) + :each
    WHERE allowance.spent_until <= clock_timestamp() + :each * (:at_once - 1)
RETURNING true;

-- name: time_to_allowance(tenant_id, act, each, at_once)$
SELECT spent_until - :each::interval * (:at_once::int - 1) - clock_timestamp() FROM webhook_allowances
WHERE tenant_id = :tenant_id AND act = :act;

-- name: insert_endpoint(id, tenant_id, audience, url, description, events, metadata_filter, header_names, headers, headers_key, ed25519, master_key)^
INSERT INTO webhook_endpoints (
    id, tenant_id, audience, url, description, events, metadata_filter, header_names, headers, headers_key, ed25519,
    master_key
) VALUES (
    :id, :tenant_id, :audience, :url, :description, :events, :metadata_filter, :header_names, :headers, :headers_key,
    :ed25519, :master_key
) RETURNING *, previous_until > now() AS has_previous;

-- name: update_endpoint(id, url, description, events, metadata_filter, header_names, headers, headers_key, ed25519, status)^
-- Of a locked endpoint. One that is enabled again, or gets another URL, begins as if it had never failed.
UPDATE webhook_endpoints SET
    url = :url, description = :description, events = :events, metadata_filter = :metadata_filter,
    header_names = :header_names, headers = :headers, headers_key = :headers_key, ed25519 = :ed25519, status = :status,
    disabled_reason = CASE WHEN :status::text = 'disabled' THEN disabled_reason END,
    failing_since = CASE WHEN url IS NOT DISTINCT FROM :url AND (status = :status OR :status = 'paused') THEN failing_since END,
    warned_at = CASE WHEN url IS NOT DISTINCT FROM :url AND (status = :status OR :status = 'paused') THEN warned_at END,
    resumed_at = CASE WHEN status <> :status AND :status = 'enabled' THEN clock_timestamp() ELSE resumed_at END,
    updated_at = clock_timestamp()
WHERE id = :id
RETURNING *, previous_until > now() AS has_previous;

-- name: wake_dispatcher()!
SELECT wake_dispatcher();

-- name: delete_endpoint(id)!
-- Its credentials are removed at once. A dispatcher cancels the deliveries that wait.
UPDATE webhook_endpoints SET
    deleted_at = clock_timestamp(), updated_at = clock_timestamp(), header_names = '{}', headers = NULL,
    headers_key = NULL
WHERE id = :id AND NOT implicit AND deleted_at IS NULL;

-- name: adopt_master_key(id, key)^
-- An endpoint keeps the master key that it was first used with.
UPDATE webhook_endpoints SET master_key = coalesce(master_key, :key) WHERE id = :id RETURNING *, previous_until > now() AS has_previous;

-- name: rotate_secret(id, key, overlap)^
-- Of a locked endpoint. Without an overlap the secret that it has ends at once.
UPDATE webhook_endpoints SET
    rotation = rotation + 1, master_key = :key, updated_at = clock_timestamp(),
    previous_master_key = CASE WHEN :overlap::interval IS NOT NULL THEN master_key END,
    previous_until = CASE WHEN master_key IS NOT NULL THEN clock_timestamp() + :overlap END
WHERE id = :id
RETURNING *, previous_until > now() AS has_previous;

-- name: record_event(id, event, data)$
SELECT record_event(:id, :event, :data);

-- name: note_master_keys(ids, fingerprints)!
INSERT INTO webhook_master_keys (id, fingerprint) SELECT * FROM unnest(:ids::text[], :fingerprints::bytea[])
ON CONFLICT (id) DO NOTHING;

-- name: find_changed_keys(ids, fingerprints)
SELECT id FROM webhook_master_keys JOIN unnest(:ids::text[], :fingerprints::bytea[]) AS given (id, fingerprint) USING (id)
WHERE given.fingerprint <> webhook_master_keys.fingerprint ORDER BY id;

-- name: count_key_uses()
SELECT master_key, count(DISTINCT id) AS endpoints FROM (
    SELECT id, master_key FROM webhook_endpoints WHERE deleted_at IS NULL
    UNION ALL
    SELECT id, previous_master_key FROM webhook_endpoints WHERE deleted_at IS NULL AND previous_until > now()
    UNION ALL
    SELECT id, headers_key FROM webhook_endpoints WHERE deleted_at IS NULL
) AS used
WHERE master_key IS NOT NULL
GROUP BY master_key;

-- name: lock_headers(after, known, but, at_most)
-- Headers that one of the known master keys encrypted, and not the one that is to do so.
SELECT id, headers, headers_key FROM webhook_endpoints
WHERE id > :after AND headers_key = ANY (:known::text[]) AND headers_key <> :but
ORDER BY id LIMIT :at_most FOR NO KEY UPDATE SKIP LOCKED;

-- name: replace_headers(ids, headers, key)!
UPDATE webhook_endpoints AS endpoint SET headers = fresh.headers, headers_key = :key
FROM unnest(:ids::uuid[], :headers::bytea[]) AS fresh (id, headers)
WHERE endpoint.id = fresh.id;

-- name: count_deliveries(endpoint_id, period, at_most)^
-- The newest of an endpoint and their attempts, so that the cost is bounded. The walks compare and order whole rows of
-- their index, so that no other index looks as good to Postgres.
WITH newest AS MATERIALIZED (
    SELECT id, status, created_at, scheduled_at, finished_at FROM webhook_deliveries
    WHERE (endpoint_id, id) >= (:endpoint_id, (SELECT uuidv7(-:period::interval))) AND endpoint_id <= :endpoint_id
    ORDER BY endpoint_id DESC, id DESC LIMIT :at_most
), tried AS MATERIALIZED (
    SELECT outcome, total_ms FROM newest CROSS JOIN LATERAL (
        SELECT outcome, total_ms FROM webhook_attempts WHERE delivery_id = newest.id AND ended_at IS NOT NULL
        ORDER BY number DESC LIMIT :at_most
    ) AS attempt LIMIT :at_most
), waiting AS (
    SELECT created_at FROM webhook_deliveries
    WHERE status = 'pending' AND lease_token IS NULL AND endpoint_id = :endpoint_id
    ORDER BY endpoint_id, origin, next_attempt_at LIMIT :at_most
)
SELECT
    CASE WHEN (SELECT count(*) FROM newest) < :at_most THEN now() - :period::interval
        ELSE (SELECT min(created_at) FROM newest) END AS since,
    (SELECT jsonb_object_agg(status, count) FROM (SELECT status, count(*) FROM newest GROUP BY 1) AS a) AS deliveries,
    (SELECT jsonb_object_agg(outcome, count) FROM (SELECT outcome, count(*) FROM tried GROUP BY 1) AS b) AS attempts,
    (SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
            ORDER BY extract(epoch FROM finished_at - scheduled_at)::float8 * 1000)
        FROM newest WHERE status = 'succeeded') AS delivery_ms,
    (SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY total_ms::float8)
        FROM tried WHERE outcome = 'succeeded') AS attempt_ms,
    (SELECT min(created_at) FROM waiting) AS oldest_pending_at;
