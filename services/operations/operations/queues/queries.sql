-- Counts stop at a bound, so that their cost does not grow with the backlog. All of them run in an index walk
-- (chassis.postgres), in the order of an index: queues and destinations are found by a loose index scan.

-- name: count_jobs(at_most)
-- Queued jobs are counted up to the bound for each model, running jobs up to the bound in total.
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

-- name: count_open_letters(kinds, at_most)
-- Each kind is counted on its own, so that many letters of one kind don't hide those of another.
SELECT kind, (
    SELECT count(*) FROM (
        SELECT FROM dead_letters AS letter
        WHERE status = 'open' AND letter.kind >= wanted.kind AND letter.kind <= wanted.kind
        ORDER BY letter.kind, letter.id LIMIT :at_most
    ) AS open
) AS count
FROM unnest(:kinds::text[]) AS wanted (kind);

-- name: count_letters_by_code(at_most)
-- Open dead letters by what failed, from the counts of the groups that were seen last.
SELECT kind, coalesce(model, '') AS model, reason AS code, sum(open)::bigint AS count FROM (
    SELECT kind, model, reason, open FROM dead_letter_groups
    WHERE (open > 0) ORDER BY last_seen_at DESC, id DESC LIMIT :at_most
) AS latest
GROUP BY kind, coalesce(model, ''), reason;

-- name: find_oldest()
-- The queued job that waits longest, for each model.
WITH RECURSIVE queues (name) AS (
    (SELECT queue FROM jobs WHERE status = 'queued' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM jobs WHERE status = 'queued' AND queue > name ORDER BY queue LIMIT 1)
    FROM queues WHERE name IS NOT NULL
)
SELECT name AS model, (
    SELECT queued_at FROM jobs WHERE status = 'queued' AND queue = name ORDER BY queued_at, id LIMIT 1
) AS queued_at
FROM queues WHERE name IS NOT NULL;

-- name: read_clock()$
SELECT now();

-- name: list_pauses()
SELECT model, paused_at AS at, paused_by AS by, reason FROM paused_models ORDER BY model;

-- name: count_workers()
SELECT model, count(*) AS workers FROM worker_sessions WHERE ended_at IS NULL GROUP BY model;

-- name: lock_pause(model)^
SELECT paused_at AS at, paused_by AS by, reason FROM paused_models WHERE model = :model FOR UPDATE;

-- name: pause_model(model, actor, reason)^
INSERT INTO paused_models (model, paused_by, reason) VALUES (:model, :actor, :reason)
ON CONFLICT (model) DO UPDATE SET paused_by = excluded.paused_by, reason = excluded.reason
RETURNING paused_at AS at, paused_by AS by, reason;

-- name: resume_model(model)^
DELETE FROM paused_models WHERE model = :model RETURNING paused_at AS at, paused_by AS by, reason;

-- name: count_expiring(model, at_most)^
-- Jobs of a model that would expire within an hour, and within a day, if none was claimed.
SELECT count(*) FILTER (WHERE ends_at <= now() + interval '1 hour') AS within_hour,
    count(*) FILTER (WHERE ends_at <= now() + interval '1 day') AS within_day
FROM (
    SELECT least(expires_at, deadline_at) AS ends_at FROM jobs
    WHERE status = 'queued' AND queue = :model ORDER BY queued_at, id LIMIT :at_most
) AS waiting;
