-- Lists walk ids, which are ordered by time: a descent for each endpoint, then `at_most` entries of an index. So the cost
-- does not grow with the number of deliveries. A page is ids first, then their rows.
--
-- The walks compare and order whole rows of their index, as if they went on into the next endpoint. With `endpoint_id =`
-- and ORDER BY id, Postgres may choose an index that it believes to be as good, and read a long history to find an
-- endpoint that has few deliveries. OFFSET 0 keeps a look-up from becoming a join.

-- name: find_endpoints(tenant_id)
-- A tenant's endpoints or, without a tenant, the operators'. Deleted ones too, since their deliveries are kept.
SELECT id, implicit FROM webhook_endpoints WHERE tenant_id = :tenant_id::uuid
UNION ALL
SELECT id, implicit FROM webhook_endpoints WHERE tenant_id IS NULL AND :tenant_id IS NULL;

-- name: walk_deliveries(endpoints, before, at_most)
SELECT walk.id FROM unnest(:endpoints::uuid[]) AS endpoint (id) CROSS JOIN LATERAL (
    SELECT id FROM webhook_deliveries
    WHERE (endpoint_id, webhook_deliveries.id) < (endpoint.id, :before::uuid) AND endpoint_id >= endpoint.id
    ORDER BY endpoint_id DESC, id DESC LIMIT :at_most
) AS walk
ORDER BY walk.id DESC LIMIT :at_most;

-- name: walk_undelivered(endpoints, status, before, at_most)
-- Deliveries that failed, were retired or were canceled, along an index of these alone.
SELECT walk.id FROM unnest(:endpoints::uuid[]) AS endpoint (id) CROSS JOIN LATERAL (
    SELECT id FROM webhook_deliveries
    WHERE status IN ('failed', 'retired', 'canceled')
        AND (endpoint_id, status, webhook_deliveries.id) < (endpoint.id, :status, :before::uuid)
        AND (endpoint_id, status) >= (endpoint.id, :status)
    ORDER BY endpoint_id DESC, status DESC, id DESC LIMIT :at_most
) AS walk
ORDER BY walk.id DESC LIMIT :at_most;

-- name: walk_job(endpoints, job_id, before, at_most)
-- A job has a delivery for each of its versions and the endpoints at that time, which are few.
SELECT id FROM (
    SELECT id, endpoint_id FROM webhook_deliveries WHERE job_id = :job_id OFFSET 0
) AS of_job
WHERE endpoint_id = ANY (:endpoints::uuid[]) AND id < :before
ORDER BY id DESC LIMIT :at_most;

-- name: read_deliveries(ids, status, event, at_most)
-- The newest first, each with its latest attempt.
SELECT delivery.id, endpoint_id, job_id, job_version, event, url, status, delivery.lease_token IS NOT NULL AS in_flight,
    created_at, scheduled_at, next_attempt_at, finished_at, attempt AS attempts_made, failures, dead_lettered,
    number, started_at, ended_at, outcome, status_code, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, error
FROM webhook_deliveries AS delivery
    LEFT JOIN webhook_attempts AS latest ON latest.delivery_id = delivery.id AND latest.number = delivery.attempt
WHERE delivery.id = ANY (:ids::uuid[]) AND (:status::text IS NULL OR status = :status)
    AND (:event::text IS NULL OR event = :event)
ORDER BY delivery.id DESC LIMIT :at_most;

-- name: find_delivery(id, tenant_id, may_see_operators)^
-- The body, and whether the endpoint receives anything; no row unless the caller may see the delivery.
SELECT body, active FROM webhook_deliveries AS delivery CROSS JOIN LATERAL (
    SELECT tenant_id, status <> 'disabled' AND deleted_at IS NULL AS active
    FROM webhook_endpoints WHERE id = delivery.endpoint_id OFFSET 0
) AS endpoint
WHERE delivery.id = :id
    AND (endpoint.tenant_id = :tenant_id OR (:may_see_operators AND endpoint.tenant_id IS NULL));

-- name: list_attempts(delivery_id, at_most)
-- The latest ones, the last one first.
SELECT number, started_at, ended_at, outcome, status_code, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, error
FROM webhook_attempts WHERE delivery_id = :delivery_id
ORDER BY number DESC LIMIT :at_most;

-- name: redeliver(id)$
SELECT redeliver(:id);

-- name: oldest_delivery(endpoint_id)$
SELECT id FROM webhook_deliveries WHERE endpoint_id >= :endpoint_id AND endpoint_id <= :endpoint_id
ORDER BY endpoint_id, id LIMIT 1;

-- name: following(endpoint_id, since, at_most)
-- The first deliveries since an id, whatever their status.
SELECT id FROM webhook_deliveries
WHERE (endpoint_id, id) >= (:endpoint_id::uuid, :since::uuid) AND endpoint_id <= :endpoint_id
ORDER BY endpoint_id, id LIMIT :at_most;

-- name: following_undelivered(endpoint_id, since, at_most)
-- Those of them that ended without success: three walks of an index, merged.
SELECT walk.id FROM unnest(ARRAY['failed', 'retired', 'canceled']) AS ended (status) CROSS JOIN LATERAL (
    SELECT id FROM webhook_deliveries AS delivery
    WHERE delivery.status IN ('failed', 'retired', 'canceled')
        AND (endpoint_id, delivery.status, id) >= (:endpoint_id::uuid, ended.status, :since::uuid)
        AND (endpoint_id, delivery.status) <= (:endpoint_id, ended.status)
    ORDER BY endpoint_id, delivery.status, id LIMIT :at_most
) AS walk
ORDER BY walk.id LIMIT :at_most;

-- name: redeliver_ended(ids)$
-- Return how many of the deliveries are sent again: not those that wait or are in flight. They are locked in the order of
-- their ids, as by every other recovery, and counted by the one that locks them first.
SELECT count(*) FILTER (WHERE redeliver(id)) FROM (
    SELECT id FROM webhook_deliveries WHERE id = ANY (:ids::uuid[]) AND status <> 'pending' ORDER BY id FOR UPDATE
) AS ended;
