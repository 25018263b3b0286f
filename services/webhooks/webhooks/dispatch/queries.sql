-- Each statement acts on a bounded batch and skips rows that another process has locked.

-- name: find_destinations(after_endpoint, after_origin, at_most, master_keys)
-- A loose index scan: each step is one descent to the first row of the next destination, so that the cost depends on the number
-- of destinations and not on the backlog.
WITH RECURSIVE destinations (endpoint_id, origin, due_at, failures, nth) AS (
    (SELECT endpoint_id, origin, next_attempt_at, failures, 1 FROM webhook_deliveries
     WHERE status = 'pending' AND lease_token IS NULL
        AND (endpoint_id, origin) > (:after_endpoint::uuid, :after_origin::text)
     ORDER BY endpoint_id, origin, next_attempt_at LIMIT 1)
    UNION ALL
    SELECT following.endpoint_id, following.origin, following.next_attempt_at, following.failures, destinations.nth + 1
    FROM destinations CROSS JOIN LATERAL (
        SELECT endpoint_id, origin, next_attempt_at, failures FROM webhook_deliveries AS waiting
        WHERE status = 'pending' AND lease_token IS NULL
            AND (waiting.endpoint_id, waiting.origin) > (destinations.endpoint_id, destinations.origin)
        ORDER BY endpoint_id, origin, next_attempt_at LIMIT 1
    ) AS following
    WHERE destinations.nth < :at_most
), judged AS (
    SELECT nth, destinations.endpoint_id, destinations.origin AS recorded_origin,
        coalesce(url_origin(endpoint.url), destinations.origin) AS origin, endpoint.tenant_id, due_at,
        due_at <= now() AND endpoint.status = 'enabled' AND deleted_at IS NULL AS due,
        array_remove(ARRAY[master_key, headers_key, CASE WHEN previous_until > now() THEN previous_master_key END], NULL)
            <@ :master_keys::text[] AS signable,
        endpoint.status = 'disabled' OR deleted_at IS NOT NULL AS abandoned,
        failing_since IS NOT NULL OR failures > 0 AS failing
    FROM destinations CROSS JOIN LATERAL (
        SELECT * FROM webhook_endpoints WHERE id = destinations.endpoint_id OFFSET 0  -- or the planner joins all with all
    ) AS endpoint
)
SELECT endpoint_id, recorded_origin, origin, tenant_id, due_at, due AND signable AS ready, abandoned,
    due AND NOT signable AS unsignable, failing
FROM judged ORDER BY nth;

-- name: find_recent(seconds, at_most)
-- Destinations of deliveries that were recorded a moment ago: their ids are in the order of time. Whether they can be
-- signed for is left to the claim.
WITH recorded AS MATERIALIZED (  -- by the ids alone: the index of waiting deliveries would be read from end to end
    SELECT endpoint_id, origin, status, lease_token, next_attempt_at, failures FROM webhook_deliveries
    WHERE id > (SELECT uuidv7(make_interval(secs => -:seconds::float8)))
), recent AS (
    SELECT endpoint_id, origin, min(next_attempt_at) AS due_at, max(failures) AS failures FROM recorded
    WHERE status = 'pending' AND lease_token IS NULL AND next_attempt_at <= now()
    GROUP BY endpoint_id, origin LIMIT :at_most
)
SELECT recent.endpoint_id, recent.origin AS recorded_origin, coalesce(url_origin(endpoint.url), recent.origin) AS origin,
    endpoint.tenant_id, due_at, true AS ready, false AS abandoned, false AS unsignable,
    failing_since IS NOT NULL OR failures > 0 AS failing
FROM recent CROSS JOIN LATERAL (
    SELECT * FROM webhook_endpoints WHERE id = recent.endpoint_id OFFSET 0
) AS endpoint
WHERE endpoint.status = 'enabled' AND deleted_at IS NULL;

-- name: lock_due(endpoints, origins, counts, master_keys)
-- Deliveries of a standing endpoint go to its present URL, whatever it was when they were recorded.
SELECT due.id, due.endpoint_id, due.event, coalesce(endpoint.url, due.url) AS url,
    due.origin AS recorded_origin, coalesce(url_origin(endpoint.url), due.origin) AS origin, due.failures,
    due.created_at, due.snapshot, due.body,
    endpoint.tenant_id, implicit, rotation, master_key, CASE WHEN previous_until > now() THEN previous_master_key END
        AS previous_master_key, ed25519, headers, headers_key, failing_since IS NOT NULL AS failing
FROM unnest(:endpoints::uuid[], :origins::text[], :counts::integer[]) AS share (endpoint_id, origin, at_most)
CROSS JOIN LATERAL (SELECT * FROM webhook_endpoints WHERE id = share.endpoint_id OFFSET 0) AS endpoint
CROSS JOIN LATERAL (
    SELECT id, endpoint_id, event, url, waiting.origin, failures, created_at, snapshot, body
    FROM webhook_deliveries AS waiting
    WHERE status = 'pending' AND lease_token IS NULL AND waiting.endpoint_id = share.endpoint_id
        AND waiting.origin = share.origin AND next_attempt_at <= now()
    ORDER BY next_attempt_at LIMIT share.at_most FOR UPDATE SKIP LOCKED
) AS due
WHERE endpoint.status = 'enabled' AND endpoint.deleted_at IS NULL
    AND array_remove(ARRAY[master_key, headers_key, CASE WHEN previous_until > now() THEN previous_master_key END], NULL)
        <@ :master_keys::text[];

-- name: read_jobs(deliveries)
-- Snapshots of the jobs of deliveries that have none, in a statement of its own: it begins when the deliveries are locked,
-- from when on freeze_deliveries() lets no change of a job be committed.
SELECT delivery.id, job_snapshot(job) AS snapshot
FROM webhook_deliveries AS delivery CROSS JOIN LATERAL (
    SELECT jobs AS job FROM jobs WHERE id = delivery.job_id AND version = delivery.job_version OFFSET 0
) AS found
WHERE delivery.id = ANY (:deliveries::uuid[]);

-- name: adopt_master_key(endpoints, key)!
-- An endpoint keeps the master key that it was first used with.
UPDATE webhook_endpoints SET master_key = :key WHERE id = ANY (:endpoints::uuid[]) AND master_key IS NULL;

-- name: begin_attempts(ids, tokens, urls, origins, bodies, lease)
WITH begun AS (
    UPDATE webhook_deliveries AS delivery SET
        attempt = attempt + 1, lease_token = claim.token, lease_expires_at = clock_timestamp() + :lease,
        url = claim.url, origin = claim.origin, body = coalesce(body, claim.fresh), snapshot = NULL
    FROM unnest(:ids::uuid[], :tokens::uuid[], :urls::text[], :origins::text[], :bodies::bytea[])
        AS claim (id, token, url, origin, fresh)
    WHERE delivery.id = claim.id AND delivery.id = ANY (:ids::uuid[])  -- by the index, however many there are
    RETURNING delivery.id, delivery.attempt, delivery.lease_token
)
INSERT INTO webhook_attempts (delivery_id, number, lease_token, started_at)
SELECT id, attempt, lease_token, clock_timestamp() FROM begun
RETURNING delivery_id, number;

-- name: refuse(ids, error)
-- Deliveries that are locked and can't be encoded: they end, and the log says why.
WITH refused AS (
    UPDATE webhook_deliveries SET
        status = 'failed', attempt = attempt + 1, failures = failures + 1, next_attempt_at = NULL,
        finished_at = clock_timestamp()
    WHERE id = ANY (:ids::uuid[])
    RETURNING id, attempt, dead_lettered
), logged AS (
    INSERT INTO webhook_attempts (delivery_id, number, lease_token, ended_at, outcome, error)
    SELECT id, attempt, gen_random_uuid(), clock_timestamp(), 'failed', :error FROM refused
)
SELECT id, dead_lettered FROM refused;

-- name: complete(completions)
-- Return the deliveries that were still held under their tokens; the others are left as they are.
WITH done AS (
    SELECT * FROM jsonb_to_recordset(:completions) AS completion (
        id uuid, number integer, token uuid, outcome text, status text, pause float8, status_code integer, dns_ms real,
        connect_ms real, tls_ms real, first_byte_ms real, total_ms real, error text, response text)
), held AS (
    UPDATE webhook_deliveries AS delivery SET
        status = done.status, failures = failures + (done.outcome = 'failed')::integer, losses = 0,
        next_attempt_at = CASE done.status WHEN 'pending' THEN clock_timestamp() + make_interval(secs => done.pause) END,
        finished_at = CASE WHEN done.status <> 'pending' THEN clock_timestamp() END,
        lease_token = NULL, lease_expires_at = NULL
    FROM done
    WHERE delivery.id = done.id AND delivery.lease_token = done.token AND delivery.status = 'pending'
        AND delivery.id = ANY (ARRAY(SELECT id FROM done))  -- by the index, however many there are
    RETURNING delivery.id, delivery.dead_lettered
), logged AS (
    UPDATE webhook_attempts AS attempt SET
        ended_at = clock_timestamp(), outcome = done.outcome, status_code = done.status_code, dns_ms = done.dns_ms,
        connect_ms = done.connect_ms, tls_ms = done.tls_ms, first_byte_ms = done.first_byte_ms,
        total_ms = done.total_ms, error = done.error, response = decode(done.response, 'base64')
    FROM done JOIN held USING (id)
    WHERE attempt.delivery_id = done.id AND attempt.number = done.number
        AND attempt.delivery_id = ANY (ARRAY(SELECT id FROM done))
)
SELECT id, dead_lettered FROM held;

-- name: find_moved(endpoints, urls)
-- Those of the endpoints, each with a URL that was used, that have another one by now.
SELECT id, url FROM unnest(:endpoints::uuid[], :urls::text[]) AS used (id, url) CROSS JOIN LATERAL (
    SELECT url AS present FROM webhook_endpoints WHERE id = used.id OFFSET 0
) AS endpoint
WHERE present <> url;

-- name: bury(ids, messages)!
-- Dead letters of deliveries that just ended.
SELECT bury_delivery(id, message) FROM unnest(:ids::uuid[], :messages::text[]) AS ended (id, message);

-- name: resolve(ids)!
-- Deliveries with a dead letter that ended otherwise.
SELECT resolve_delivery(id) FROM unnest(:ids::uuid[]) AS ended (id);

-- name: note_outcomes(outcomes, warn_hours, disable_hours)
-- A standing endpoint is failing from its first failed attempt after a success until the next success, both at its present
-- URL. Rows are written where that changes, locked in the order of their ids, and returned if operators get an event about
-- them. Only `confirmed` failures have consequences.
WITH outcomes AS (
    SELECT * FROM jsonb_to_recordset(:outcomes) AS outcome (
        endpoint_id uuid, url text, works boolean, gone boolean, confirmed boolean, error text)
), judged AS (
    SELECT endpoint.id, works,
        gone OR (confirmed AND failing_since < now() - make_interval(hours => :disable_hours)) AS disables, CASE
            WHEN gone THEN 'The receiver answered 410 (Gone).'
            WHEN NOT confirmed THEN NULL
            WHEN failing_since < now() - make_interval(hours => :disable_hours)
            THEN format('Every attempt failed for %s hours. The last one: %s', :disable_hours::integer, error)
            WHEN warned_at IS NULL AND failing_since < now() - make_interval(hours => :warn_hours)
            THEN format('Every attempt failed for %s hours. The last one: %s', :warn_hours::integer, error)
        END AS reason
    FROM webhook_endpoints AS endpoint JOIN outcomes ON outcomes.endpoint_id = endpoint.id AND outcomes.url = endpoint.url
    WHERE endpoint.id = ANY (ARRAY(SELECT endpoint_id FROM outcomes))  -- by the index, however many there are
        AND NOT implicit AND deleted_at IS NULL AND status <> 'disabled' AND CASE
        WHEN works THEN failing_since IS NOT NULL
        ELSE gone OR failing_since IS NULL OR (confirmed AND (
            failing_since < now() - make_interval(hours => :disable_hours)
            OR (warned_at IS NULL AND failing_since < now() - make_interval(hours => :warn_hours))))
    END
    ORDER BY endpoint.id FOR UPDATE OF endpoint
), changed AS (
    UPDATE webhook_endpoints AS endpoint SET
        status = CASE WHEN disables THEN 'disabled' ELSE status END,
        disabled_reason = CASE WHEN disables THEN reason END,
        failing_since = CASE WHEN NOT works THEN coalesce(failing_since, clock_timestamp()) END,
        warned_at = CASE WHEN works THEN NULL WHEN reason IS NOT NULL THEN coalesce(warned_at, clock_timestamp()) ELSE warned_at END,
        updated_at = CASE WHEN disables THEN clock_timestamp() ELSE updated_at END
    FROM judged WHERE endpoint.id = judged.id AND endpoint.id = ANY (ARRAY(SELECT id FROM judged))
    RETURNING endpoint.id, tenant_id, url_origin(url) AS origin, failing_since, disables AS disabled, reason
)
SELECT id, disabled, reason,
    record_operators_event('webhook_endpoint.' || CASE WHEN disabled THEN 'disabled' ELSE 'failing' END, jsonb_build_object(
        'endpoint_id', id, 'tenant_id', tenant_id, 'origin', origin, 'failing_since', failing_since, 'reason', reason))
FROM changed WHERE reason IS NOT NULL;

-- name: reap(at_most, most_losses)
-- Attempts whose lease expired, with the process that held it: whether they were sent is unknown. They don't count as
-- failures, since they say nothing of the receiver, and are repeated: the first at once, the next after 1, 4, 9 ... s, at most
-- a quarter of an hour. A delivery that was lost too often in a row may be what ends the processes, and fails.
WITH lost AS (
    SELECT id, attempt, losses + 1 AS losses, losses + 1 > :most_losses AS exhausted FROM webhook_deliveries
    WHERE lease_token IS NOT NULL AND lease_expires_at < now()
    ORDER BY lease_expires_at LIMIT :at_most FOR UPDATE SKIP LOCKED
), freed AS (
    UPDATE webhook_deliveries AS delivery SET
        status = CASE WHEN exhausted THEN 'failed' ELSE 'pending' END, losses = lost.losses,
        next_attempt_at = CASE WHEN NOT exhausted
            THEN clock_timestamp() + make_interval(secs => least(power(lost.losses - 1, 2), 900)) END,
        finished_at = CASE WHEN exhausted THEN clock_timestamp() END,
        lease_token = NULL, lease_expires_at = NULL
    FROM lost WHERE delivery.id = lost.id AND delivery.id = ANY (ARRAY(SELECT id FROM lost))
    RETURNING delivery.id, exhausted, dead_lettered
), logged AS (
    UPDATE webhook_attempts AS attempt SET
        ended_at = clock_timestamp(), outcome = 'lost', error = 'The process that sent it ended or lost the database.'
    FROM lost
    WHERE attempt.delivery_id = lost.id AND attempt.number = lost.attempt
        AND attempt.delivery_id = ANY (ARRAY(SELECT id FROM lost))
)
SELECT id, exhausted, dead_lettered FROM freed;

-- name: cancel_destination(endpoint_id, origin, at_most)
-- Deliveries of an endpoint that was deleted or disabled.
UPDATE webhook_deliveries SET status = 'canceled', next_attempt_at = NULL, finished_at = clock_timestamp()
WHERE id = ANY (ARRAY(
    SELECT id FROM webhook_deliveries
    WHERE status = 'pending' AND lease_token IS NULL AND endpoint_id = :endpoint_id AND origin = :origin
    ORDER BY next_attempt_at LIMIT :at_most FOR UPDATE SKIP LOCKED
))
RETURNING id, dead_lettered;

-- name: give_up(endpoint_id, origin, age, at_most)
-- Of the deliveries that are overdue longest those whose schedule began too long ago, or was resumed since. The caller knows
-- that their receiver does not work.
UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL, finished_at = clock_timestamp()
WHERE id = ANY (ARRAY(
    SELECT id FROM (
        SELECT id, scheduled_at FROM webhook_deliveries
        WHERE status = 'pending' AND lease_token IS NULL AND endpoint_id = :endpoint_id AND origin = :origin
            AND next_attempt_at <= now()
        ORDER BY next_attempt_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ) AS overdue
    WHERE greatest(scheduled_at, (SELECT resumed_at FROM webhook_endpoints WHERE id = :endpoint_id))
        < now() - :age::interval
))
RETURNING id, dead_lettered;

-- name: is_first_start()$
SELECT dispatched_since IS NULL FROM instance;

-- name: retire(age, at_most)$
-- Before the first start of a dispatcher: what happened longer ago than the schedule lasts is not sent any more.
WITH retired AS (
    UPDATE webhook_deliveries SET status = 'retired', next_attempt_at = NULL, finished_at = clock_timestamp()
    WHERE id = ANY (ARRAY(
        SELECT id FROM webhook_deliveries
        WHERE status = 'pending' AND lease_token IS NULL AND attempt = 0 AND scheduled_at < now() - :age::interval
        LIMIT :at_most FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM retired;

-- name: note_start()!
UPDATE instance SET dispatched_since = now() WHERE dispatched_since IS NULL;

-- name: sample(at_most)^
-- Of the first deliveries of the index, so that the cost is bounded. Those of a paused endpoint wait, but none is due.
SELECT coalesce(sum(waiting), 0)::integer AS waiting,
    coalesce(sum(due) FILTER (WHERE endpoint.status = 'enabled'), 0)::integer AS due
FROM (
    SELECT endpoint_id, count(*) AS waiting, count(*) FILTER (WHERE next_attempt_at <= now()) AS due FROM (
        SELECT endpoint_id, next_attempt_at FROM webhook_deliveries
        WHERE status = 'pending' AND lease_token IS NULL LIMIT :at_most
    ) AS first_ones
    GROUP BY endpoint_id
) AS counted
CROSS JOIN LATERAL (SELECT status FROM webhook_endpoints WHERE id = counted.endpoint_id OFFSET 0) AS endpoint;
