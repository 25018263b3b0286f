-- Each statement acts on a bounded batch and skips rows that another process has locked.

-- name: find_destinations(after_endpoint, after_origin, at_most)
-- A loose index scan: each step is one descent to the first row of the next destination, so that the cost depends on the number
-- of destinations and not on the backlog.
WITH RECURSIVE destinations (endpoint_id, origin, due_at, nth) AS (
    (SELECT endpoint_id, origin, next_attempt_at, 1 FROM webhook_deliveries
     WHERE status = 'pending' AND lease_token IS NULL
        AND (endpoint_id, origin) > (:after_endpoint::uuid, :after_origin::text)
     ORDER BY endpoint_id, origin, next_attempt_at LIMIT 1)
    UNION ALL
    SELECT following.endpoint_id, following.origin, following.next_attempt_at, destinations.nth + 1
    FROM destinations CROSS JOIN LATERAL (
        SELECT endpoint_id, origin, next_attempt_at FROM webhook_deliveries AS waiting
        WHERE status = 'pending' AND lease_token IS NULL
            AND (waiting.endpoint_id, waiting.origin) > (destinations.endpoint_id, destinations.origin)
        ORDER BY endpoint_id, origin, next_attempt_at LIMIT 1
    ) AS following
    WHERE destinations.nth < :at_most
)
SELECT destinations.endpoint_id, destinations.origin, endpoint.tenant_id, destinations.due_at,
    due_at <= now() AND endpoint.status = 'enabled' AND deleted_at IS NULL AS ready,
    endpoint.status = 'disabled' OR deleted_at IS NOT NULL AS abandoned
FROM destinations JOIN webhook_endpoints AS endpoint ON endpoint.id = destinations.endpoint_id
ORDER BY destinations.endpoint_id, destinations.origin;

-- name: lock_due(endpoints, origins, counts)
SELECT due.*, endpoint.tenant_id, endpoint.implicit, endpoint.rotation, endpoint.master_key,
    coalesce(endpoint.previous_until > now(), false) AS has_previous_secret
FROM unnest(:endpoints::uuid[], :origins::text[], :counts::integer[]) AS share (endpoint_id, origin, at_most)
JOIN webhook_endpoints AS endpoint ON endpoint.id = share.endpoint_id
CROSS JOIN LATERAL (
    SELECT id, endpoint_id, event, url, waiting.origin, failures, created_at, snapshot, body
    FROM webhook_deliveries AS waiting
    WHERE status = 'pending' AND lease_token IS NULL AND waiting.endpoint_id = share.endpoint_id
        AND waiting.origin = share.origin AND next_attempt_at <= now()
    ORDER BY next_attempt_at LIMIT share.at_most FOR UPDATE SKIP LOCKED
) AS due
WHERE endpoint.status = 'enabled' AND endpoint.deleted_at IS NULL;

-- name: read_jobs(deliveries)
-- Snapshots of the jobs of deliveries that have none, in a statement of its own: it begins when the deliveries are locked,
-- from when on freeze_deliveries() lets no change of a job be committed.
SELECT delivery.id, job_snapshot(job) AS snapshot
FROM webhook_deliveries AS delivery JOIN jobs AS job ON job.id = job_id AND job.version = job_version
WHERE delivery.id = ANY (:deliveries::uuid[]);

-- name: adopt_master_key(endpoints, key)!
-- An endpoint keeps the master key that it was first used with.
UPDATE webhook_endpoints SET master_key = :key WHERE id = ANY (:endpoints::uuid[]) AND master_key IS NULL;

-- name: begin_attempts(ids, tokens, bodies, lease)
WITH begun AS (
    UPDATE webhook_deliveries AS delivery SET
        attempt = attempt + 1, lease_token = claim.token, lease_expires_at = clock_timestamp() + :lease,
        body = coalesce(body, claim.fresh), snapshot = NULL
    FROM unnest(:ids::uuid[], :tokens::uuid[], :bodies::bytea[]) AS claim (id, token, fresh)
    WHERE delivery.id = claim.id
    RETURNING delivery.id, delivery.attempt, delivery.lease_token
)
INSERT INTO webhook_attempts (delivery_id, number, lease_token, started_at)
SELECT id, attempt, lease_token, clock_timestamp() FROM begun
RETURNING delivery_id, number;

-- name: refuse(ids, error)!
-- Deliveries that are locked and can't be encoded: they end, and the log says why.
WITH refused AS (
    UPDATE webhook_deliveries SET
        status = 'failed', attempt = attempt + 1, failures = failures + 1, next_attempt_at = NULL,
        finished_at = clock_timestamp()
    WHERE id = ANY (:ids::uuid[])
    RETURNING id, attempt
)
INSERT INTO webhook_attempts (delivery_id, number, lease_token, ended_at, outcome, error)
SELECT id, attempt, gen_random_uuid(), clock_timestamp(), 'failed', :error FROM refused;

-- name: complete(completions)
-- Return the ids of the deliveries that were still held under their tokens; the others are left as they are.
WITH done AS (
    SELECT * FROM jsonb_to_recordset(:completions) AS completion (
        id uuid, number integer, token uuid, outcome text, status text, pause float8, disables boolean,
        status_code integer, dns_ms real, connect_ms real, tls_ms real, first_byte_ms real, total_ms real, error text,
        response text)
), held AS (
    UPDATE webhook_deliveries AS delivery SET
        status = done.status, failures = failures + (done.outcome = 'failed')::integer,
        next_attempt_at = CASE done.status WHEN 'pending' THEN clock_timestamp() + make_interval(secs => done.pause) END,
        finished_at = CASE WHEN done.status <> 'pending' THEN clock_timestamp() END,
        lease_token = NULL, lease_expires_at = NULL
    FROM done WHERE delivery.id = done.id AND delivery.lease_token = done.token AND delivery.status = 'pending'
    RETURNING delivery.id, delivery.endpoint_id, done.disables
), logged AS (
    UPDATE webhook_attempts AS attempt SET
        ended_at = clock_timestamp(), outcome = done.outcome, status_code = done.status_code, dns_ms = done.dns_ms,
        connect_ms = done.connect_ms, tls_ms = done.tls_ms, first_byte_ms = done.first_byte_ms,
        total_ms = done.total_ms, error = done.error, response = decode(done.response, 'base64')
    FROM done JOIN held USING (id)
    WHERE attempt.delivery_id = done.id AND attempt.number = done.number
), disabled AS (
    UPDATE webhook_endpoints SET
        status = 'disabled', disabled_reason = 'The receiver answered 410 (Gone).', updated_at = clock_timestamp()
    WHERE id = ANY (ARRAY(SELECT endpoint_id FROM held WHERE disables)) AND NOT implicit AND status <> 'disabled'
)
SELECT id FROM held;

-- name: reap(at_most, most_failures)$
-- Attempts whose lease expired, with the process that held it: whether they were sent is unknown. They count as failures,
-- so that no delivery is tried indefinitely, and are repeated at once.
WITH lost AS (
    SELECT id, attempt, failures + 1 > :most_failures AS exhausted FROM webhook_deliveries
    WHERE lease_token IS NOT NULL AND lease_expires_at < now()
    ORDER BY lease_expires_at LIMIT :at_most FOR UPDATE SKIP LOCKED
), freed AS (
    UPDATE webhook_deliveries AS delivery SET
        status = CASE WHEN exhausted THEN 'failed' ELSE 'pending' END, failures = failures + 1,
        next_attempt_at = CASE WHEN NOT exhausted THEN clock_timestamp() END,
        finished_at = CASE WHEN exhausted THEN clock_timestamp() END,
        lease_token = NULL, lease_expires_at = NULL
    FROM lost WHERE delivery.id = lost.id
    RETURNING delivery.id
), logged AS (
    UPDATE webhook_attempts AS attempt SET
        ended_at = clock_timestamp(), outcome = 'lost', error = 'The process that sent it ended or lost the database.'
    FROM lost WHERE attempt.delivery_id = lost.id AND attempt.number = lost.attempt
)
SELECT count(*) FROM freed;

-- name: cancel_destination(endpoint_id, origin, at_most)$
-- Deliveries of an endpoint that was deleted or disabled.
WITH canceled AS (
    UPDATE webhook_deliveries SET status = 'canceled', next_attempt_at = NULL, finished_at = clock_timestamp()
    WHERE id = ANY (ARRAY(
        SELECT id FROM webhook_deliveries
        WHERE status = 'pending' AND lease_token IS NULL AND endpoint_id = :endpoint_id AND origin = :origin
        ORDER BY next_attempt_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM canceled;

-- name: is_first_start()$
SELECT dispatched_since IS NULL FROM instance;

-- name: retire(age, at_most)$
-- Before the first start of a dispatcher: what happened longer ago than the schedule lasts is not sent any more.
WITH retired AS (
    UPDATE webhook_deliveries SET status = 'retired', next_attempt_at = NULL, finished_at = clock_timestamp()
    WHERE id = ANY (ARRAY(
        SELECT id FROM webhook_deliveries
        WHERE status = 'pending' AND lease_token IS NULL AND attempt = 0 AND created_at < now() - :age::interval
        LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM retired;

-- name: note_start()!
UPDATE instance SET dispatched_since = now() WHERE dispatched_since IS NULL;

-- name: sample(at_most)^
-- Of the first deliveries of the index, so that the cost is bounded.
SELECT count(*) AS waiting, count(*) FILTER (WHERE next_attempt_at <= now()) AS due FROM (
    SELECT next_attempt_at FROM webhook_deliveries WHERE status = 'pending' AND lease_token IS NULL LIMIT :at_most
) AS counted;
