-- Walks. A page of a list is ids first, then their rows. Ids are ordered by time, so the cost of a page is a descent for
-- each key and `at_most` entries of an index, however many letters there are. `before` is exclusive.
--
-- The walks compare and order whole rows of their index: with `kind =` and ORDER BY id, Postgres may choose an index that
-- it believes to be as good, and read all letters to find a few. Without statistics it would sort all open letters, so
-- walks belong into `Database.index_walk`. OFFSET 0 keeps a look-up from becoming a join.

-- name: find_tenant(name)$
SELECT id FROM tenants WHERE name = :name;

-- name: find_groups(kind, model, reason, fingerprint, text, at_most)
-- Groups whose letters can match, and those of the newest letters, which the folder has possibly not made yet.
SELECT id FROM dead_letter_groups
WHERE (:kind::text IS NULL OR kind = :kind) AND (:model::text IS NULL OR model = :model)
    AND (:reason::text IS NULL OR reason = :reason) AND (:fingerprint::text IS NULL OR fingerprint = :fingerprint)
    AND (:text::text IS NULL OR strpos(shape, lower(error_shape(:text))) > 0
        OR strpos(lower(sample ->> 'message'), lower(:text)) > 0)
UNION
SELECT group_id FROM (
    SELECT group_id FROM dead_letter_deltas WHERE is_new ORDER BY id DESC LIMIT 1000
) AS unfolded
LIMIT :at_most;

-- name: walk_kinds(kinds, before, since, at_most)
SELECT walk.id FROM unnest(:kinds::text[]) AS wanted (kind) CROSS JOIN LATERAL (
    SELECT id FROM dead_letters AS letter
    WHERE (letter.kind, letter.id) < (wanted.kind, :before::uuid) AND (letter.kind, letter.id) >= (wanted.kind, :since::uuid)
    ORDER BY letter.kind DESC, letter.id DESC LIMIT :at_most
) AS walk
ORDER BY walk.id DESC LIMIT :at_most;

-- name: walk_open_kinds(kinds, before, since, at_most)
SELECT walk.id FROM unnest(:kinds::text[]) AS wanted (kind) CROSS JOIN LATERAL (
    SELECT id FROM dead_letters AS letter
    WHERE status = 'open'
        AND (letter.kind, letter.id) < (wanted.kind, :before::uuid) AND (letter.kind, letter.id) >= (wanted.kind, :since::uuid)
    ORDER BY letter.kind DESC, letter.id DESC LIMIT :at_most
) AS walk
ORDER BY walk.id DESC LIMIT :at_most;

-- name: walk_groups(groups, before, since, at_most)
SELECT walk.id FROM unnest(:groups::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
    SELECT letter.id FROM dead_letters AS letter
    WHERE (group_id, letter.id) < (wanted.id, :before::uuid) AND (group_id, letter.id) >= (wanted.id, :since::uuid)
    ORDER BY group_id DESC, letter.id DESC LIMIT :at_most
) AS walk
ORDER BY walk.id DESC LIMIT :at_most;

-- name: walk_open_groups(groups, before, since, at_most)
SELECT walk.id FROM unnest(:groups::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
    SELECT letter.id FROM dead_letters AS letter
    WHERE status = 'open'
        AND (group_id, letter.id) < (wanted.id, :before::uuid) AND (group_id, letter.id) >= (wanted.id, :since::uuid)
    ORDER BY group_id DESC, letter.id DESC LIMIT :at_most
) AS walk
ORDER BY walk.id DESC LIMIT :at_most;

-- name: walk_tenant(tenant_id, before, since, at_most)
SELECT id FROM dead_letters
WHERE (tenant_id, id) < (:tenant_id::uuid, :before::uuid) AND (tenant_id, id) >= (:tenant_id, :since::uuid)
ORDER BY tenant_id DESC, id DESC LIMIT :at_most;

-- name: walk_worker(worker, before, since, at_most)
SELECT id FROM dead_letters
WHERE worker IS NOT NULL
    AND (worker, id) < (:worker::text, :before::uuid) AND (worker, id) >= (:worker, :since::uuid)
ORDER BY worker DESC, id DESC LIMIT :at_most;

-- name: walk_job(job_id, before, since, at_most)
-- A job has a letter for each generation and each webhook that was given up, which are few.
SELECT id FROM (
    SELECT id FROM dead_letters WHERE job_id = :job_id AND kind IN ('job', 'orphan')
    UNION ALL
    SELECT id FROM dead_letters WHERE job_id = :job_id AND kind = 'webhook'
    OFFSET 0
) AS of_job
WHERE id < :before::uuid AND id >= :since::uuid
ORDER BY id DESC LIMIT :at_most;

-- name: find_named(id)
-- Letters by their own id, or by that of their job or delivery, which are few.
SELECT id FROM dead_letters WHERE id = :id
UNION
SELECT id FROM dead_letters WHERE job_id = :id AND kind IN ('job', 'orphan')
UNION
SELECT id FROM dead_letters WHERE job_id = :id AND kind = 'webhook'
UNION
SELECT id FROM dead_letters WHERE delivery_id = :id AND kind = 'webhook' AND status IN ('open', 'replaying');

-- Walks through the open letters of a scope, the oldest first. `after` is exclusive, as `before` is.

-- name: scope_kinds(kinds, after, before, at_most)
SELECT walk.id FROM unnest(:kinds::text[]) AS wanted (kind) CROSS JOIN LATERAL (
    SELECT id FROM dead_letters AS letter
    WHERE status = 'open'
        AND (letter.kind, letter.id) > (wanted.kind, :after::uuid) AND (letter.kind, letter.id) < (wanted.kind, :before::uuid)
    ORDER BY letter.kind, letter.id LIMIT :at_most
) AS walk
ORDER BY walk.id LIMIT :at_most;

-- name: scope_group(group_id, after, before, at_most)
SELECT id FROM dead_letters
WHERE status = 'open' AND (group_id, id) > (:group_id::uuid, :after::uuid) AND (group_id, id) < (:group_id, :before::uuid)
ORDER BY group_id, id LIMIT :at_most;

-- name: scope_worker(worker, after, before, at_most)
SELECT id FROM dead_letters
WHERE worker IS NOT NULL AND (worker, id) > (:worker::text, :after::uuid) AND (worker, id) < (:worker, :before::uuid)
ORDER BY worker, id LIMIT :at_most;

-- name: scope_tenant(tenant_id, after, before, at_most)
SELECT id FROM dead_letters
WHERE (tenant_id, id) > (:tenant_id::uuid, :after::uuid) AND (tenant_id, id) < (:tenant_id, :before::uuid)
ORDER BY tenant_id, id LIMIT :at_most;

-- name: read_letters(ids, status, kind, model, tenant_id, reason, fingerprint, group_id, worker, job_id, text, named, at_most)
-- Those of the letters that match, the newest first. In `text`, # stands for what error_shape() replaces.
SELECT letter.id, kind, letter.status, group_id, tenants.name AS tenant, model, job_id, generation, delivery_id, worker,
    session_id, reason, error, fingerprint, returns, octet_length(body) AS body_bytes, letter.created_at, resolved_at
FROM dead_letters AS letter LEFT JOIN tenants ON tenants.id = letter.tenant_id
WHERE letter.id = ANY (:ids::uuid[])
    AND (:status::text IS NULL OR letter.status = :status) AND (:kind::text IS NULL OR kind = :kind)
    AND (:model::text IS NULL OR model = :model) AND (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
    AND (:reason::text IS NULL OR reason = :reason) AND (:fingerprint::text IS NULL OR fingerprint = :fingerprint)
    AND (:group_id::uuid IS NULL OR group_id = :group_id) AND (:worker::text IS NULL OR worker = :worker)
    AND (:job_id::uuid IS NULL OR job_id = :job_id)
    AND (:named::uuid IS NULL OR :named IN (letter.id, job_id, delivery_id, group_id))
    AND CASE
        WHEN :text::text IS NULL THEN true
        WHEN strpos(:text, '#') > 0 THEN strpos(lower(error_shape(error ->> 'message')), lower(error_shape(:text))) > 0
        ELSE strpos(lower(error ->> 'message'), lower(:text)) > 0
    END
ORDER BY letter.id DESC LIMIT :at_most;

-- One letter

-- name: list_attempts(job_id, at_most)
-- The latest first, each with the worker session that made it.
SELECT generation, attempt, attempts.started_at, attempts.ended_at, outcome, refunded, error, attempts.worker, session_id,
    device, gpu_id, model_revision, versions
FROM (
    SELECT * FROM attempts WHERE job_id = :job_id ORDER BY started_at DESC, attempt DESC LIMIT :at_most
) AS attempts LEFT JOIN worker_sessions ON worker_sessions.id = session_id
ORDER BY attempts.started_at DESC, attempt DESC;

-- name: find_job(id)^
SELECT status, generation, deleted_at IS NOT NULL AS deleted FROM jobs WHERE id = :id;

-- name: find_delivery(id)^
SELECT delivery.status, event, endpoint_id, endpoint.status AS endpoint_status,
    endpoint.deleted_at IS NOT NULL AS endpoint_deleted, next_attempt_at, attempt AS attempts_made
FROM webhook_deliveries AS delivery LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = endpoint_id
WHERE delivery.id = :id;

-- name: list_delivery_attempts(id, at_most)
-- The latest first. Redeliveries add attempts without a limit.
SELECT number, started_at, ended_at, outcome, status_code, total_ms, error
FROM webhook_attempts WHERE delivery_id = :id ORDER BY number DESC LIMIT :at_most;

-- name: list_acts(id, at_most)
-- The latest first. A bulk replay has one entry in the audit log, and an item for each letter.
SELECT at, actor, action, reason FROM (
    (
        SELECT at, actor, action, reason FROM audit_log
        WHERE subject = :id::uuid::text ORDER BY audit_log.at DESC, id DESC LIMIT :at_most
    ) UNION ALL (
        SELECT item.at, created_by, 'dead_letter.replay', reason
        FROM replay_items AS item JOIN replays ON replays.id = replay_id
        WHERE letter_id = :id AND state NOT IN ('pending', 'refused') AND item.at IS NOT NULL
        ORDER BY replay_id DESC LIMIT :at_most
    )
) AS acts
ORDER BY at DESC LIMIT :at_most;

-- Reveal

-- name: find_hidden(id, at_most)^
SELECT letter.id, kind, letter.job_id, delivery_id, substr(body, 1, :at_most) AS body, octet_length(body) AS body_bytes, headers, x_death,
    input, overrides, metadata, webhook_url
FROM dead_letters AS letter LEFT JOIN jobs ON jobs.id = letter.job_id AND letter.kind IN ('job', 'orphan')
WHERE letter.id = :id;

-- name: hidden_attempts(job_id, at_most)
-- The latest first.
SELECT generation, attempt, error -> 'cause' AS cause, error -> 'last_lines' AS last_lines
FROM attempts WHERE job_id = :job_id AND error ?| ARRAY['cause', 'last_lines']
ORDER BY started_at DESC, attempt DESC LIMIT :at_most;

-- name: hidden_responses(delivery_id, at_most)
-- The latest first.
SELECT number, response FROM webhook_attempts WHERE delivery_id = :delivery_id AND response IS NOT NULL
ORDER BY number DESC LIMIT :at_most;

-- name: delivery_url(id)$
SELECT url FROM webhook_deliveries WHERE id = :id;

-- Acts. A job or a delivery is locked before its letters, as by every other writer.

-- name: find_letter(id)^
SELECT id, kind, status, job_id, delivery_id, generation FROM dead_letters WHERE id = :id;

-- name: discard(id)$
-- open -> discarded. Null if the letter is not open.
UPDATE dead_letters SET status = 'discarded', resolved_at = clock_timestamp()
WHERE id = :id AND status = 'open' RETURNING id;

-- name: restore(id)$
-- discarded -> open. Null if the letter is not discarded, or if its delivery has another one by now.
UPDATE dead_letters AS letter SET status = 'open', resolved_at = NULL
WHERE id = :id AND status = 'discarded' AND NOT (kind = 'webhook' AND EXISTS (
    SELECT FROM dead_letters AS other
    WHERE other.delivery_id = letter.delivery_id AND other.kind = 'webhook' AND other.status IN ('open', 'replaying')))
RETURNING id;

-- name: lock_job(id)^
SELECT status, generation, deleted_at IS NOT NULL AS deleted FROM jobs WHERE id = :id FOR UPDATE;

-- name: lock_delivery(id)$
SELECT status FROM webhook_deliveries WHERE id = :id FOR UPDATE;

-- name: is_purged(id)$
SELECT is_purged(:id);

-- name: discard_scope(ids, kind, model, tenant_id, reason, fingerprint, group_id, worker, job_id, since, before, text, named, count, at_most)^
-- Discard the oldest `at_most` of a scope, if it has `count` letters in the statement's snapshot. Returns how many it has,
-- how many more match that a bulk act leaves out, and how many were discarded: a letter that somebody else closes at the
-- same moment is not. The deliveries are locked in the order of their ids, as by recoveries; counting them locks all before
-- the first letter.
WITH scope AS MATERIALIZED (
    SELECT id, delivery_id, :ids::uuid[] IS NOT NULL OR (returns < 2 AND (kind <> 'orphan' OR :kind::text IS NOT NULL)) AS included
    FROM dead_letters
    WHERE status = 'open' AND (:ids IS NULL OR id = ANY (:ids)) AND (:kind IS NULL OR kind = :kind)
        AND (:named::uuid IS NULL OR :named IN (id, job_id, delivery_id, group_id))
        AND (:model::text IS NULL OR model = :model) AND (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND (:reason::text IS NULL OR reason = :reason) AND (:fingerprint::text IS NULL OR fingerprint = :fingerprint)
        AND (:group_id::uuid IS NULL OR group_id = :group_id) AND (:worker::text IS NULL OR worker = :worker)
        AND (:job_id::uuid IS NULL OR job_id = :job_id)
        AND (:since::uuid IS NULL OR id >= :since) AND (:before::uuid IS NULL OR id < :before)
        AND CASE
            WHEN :text::text IS NULL THEN true
            WHEN strpos(:text, '#') > 0 THEN strpos(lower(error_shape(error ->> 'message')), lower(error_shape(:text))) > 0
            ELSE strpos(lower(error ->> 'message'), lower(:text)) > 0
        END
), counted AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE included) AS included, count(*) FILTER (WHERE NOT included) AS left_out FROM scope
), chosen AS MATERIALIZED (
    SELECT id, delivery_id FROM scope WHERE included AND (SELECT included FROM counted) = :count::bigint
    ORDER BY id LIMIT :at_most
), locked AS MATERIALIZED (
    SELECT delivery.id FROM (SELECT delivery_id FROM chosen WHERE delivery_id IS NOT NULL ORDER BY delivery_id) AS wanted
    CROSS JOIN LATERAL (SELECT id FROM webhook_deliveries WHERE id = wanted.delivery_id FOR UPDATE) AS delivery
), discarded AS (
    UPDATE dead_letters SET status = 'discarded', resolved_at = clock_timestamp()
    WHERE id IN (SELECT id FROM chosen) AND status = 'open' AND (SELECT count(*) FROM locked) >= 0
    RETURNING id
)
SELECT included, left_out, (SELECT count(*) FROM discarded) AS discarded FROM counted;
