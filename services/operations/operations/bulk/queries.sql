-- Each transition names the status that it leaves. An item's change and its replay's counters share a statement.

-- name: insert_replay(scope, edit, pace, ramp, stage_seconds, created_by, reason)^
INSERT INTO replays (scope, edit, pace, ramp, stage, stage_seconds, created_by, reason)
SELECT :scope, :edit, :pace, wanted.ramp, CASE WHEN wanted.ramp IS NOT NULL THEN 0 END, :stage_seconds, :created_by, :reason
FROM (SELECT :ramp::integer[]) AS wanted (ramp)
RETURNING *;

-- name: find_replay(id)^
SELECT * FROM replays WHERE id = :id;

-- name: list_replays(before, status, at_most)
SELECT * FROM replays WHERE id < :before AND (:status::text IS NULL OR status = :status)
ORDER BY id DESC LIMIT :at_most;

-- name: list_items(id, after, at_most)
SELECT position, letter_id, verdict, state, job_id, generation, error, at FROM replay_items
WHERE replay_id = :id AND position > :after ORDER BY position LIMIT :at_most;

-- name: list_items_in(id, state, after, at_most)
-- The range of one state makes Postgres walk the index of states: along the primary key it would look at all items.
SELECT position, letter_id, verdict, state, job_id, generation, error, at FROM replay_items
WHERE replay_id = :id AND (state, position) > (:state, :after) AND state <= :state
ORDER BY state, position LIMIT :at_most;

-- Acts of operators

-- name: start_replay(id, count)^
UPDATE replays SET
    status = 'running', started_at = now(), due_at = clock_timestamp(),
    stage_began_at = CASE WHEN ramp IS NOT NULL THEN clock_timestamp() END
WHERE id = :id AND status = 'planned' AND pending = :count
RETURNING *;

-- name: pause_replay(id, reason)^
UPDATE replays SET status = 'paused', paused_reason = :reason WHERE id = :id AND status = 'running' RETURNING *;

-- name: resume_replay(id)^
UPDATE replays SET
    status = 'running', paused_reason = NULL, due_at = clock_timestamp(),
    stage_began_at = CASE WHEN ramp IS NOT NULL THEN clock_timestamp() END
WHERE id = :id AND status = 'paused'
RETURNING *;

-- name: cancel_replay(id)^
UPDATE replays SET status = 'canceled', finished_at = clock_timestamp(), paused_reason = NULL
WHERE id = :id AND finished_at IS NULL
RETURNING *;

-- name: lease_replay(id)$
-- Until the transaction ends no other process plans or runs this replay. Acts of operators don't wait for it.
SELECT pg_try_advisory_xact_lock(hashtextextended('darkroom_replay ' || :id::uuid, 0));

-- Planning

-- name: find_planning(at_most)
SELECT id FROM replays WHERE finished_at IS NULL AND status = 'planning' ORDER BY id LIMIT :at_most;

-- name: find_plan(id)^
SELECT scope, edit, planned_to FROM replays WHERE id = :id AND status = 'planning';

-- name: add_items(id, letters, jobs, verdicts, errors, counts, planned_to)$
-- Freeze further letters. False unless the replay is being planned.
WITH planned AS (
    UPDATE replays SET
        planned_to = coalesce(:planned_to::uuid, planned_to),
        status = CASE WHEN :planned_to::uuid IS NULL THEN 'planned' ELSE status END,
        pending = pending + coalesce((:counts::jsonb ->> 'will replay')::integer, 0),
        refused = refused + cardinality(:letters::uuid[]) - coalesce((:counts::jsonb ->> 'will replay')::integer, 0),
        verdicts = verdicts || (
            SELECT coalesce(jsonb_object_agg(verdict, count::integer + coalesce((verdicts ->> verdict)::integer, 0)), '{}')
            FROM jsonb_each_text(:counts::jsonb) AS counted (verdict, count))
    WHERE id = :id AND status = 'planning'
    RETURNING pending + refused - cardinality(:letters::uuid[]) AS before
), added AS (
    INSERT INTO replay_items (replay_id, position, letter_id, job_id, verdict, state, error, at)
    SELECT :id, before + number, letter_id, job_id, verdict,
        CASE verdict WHEN 'will replay' THEN 'pending' ELSE 'refused' END, error, now()
    FROM planned, unnest(:letters::uuid[], :jobs::uuid[], :verdicts::text[], :errors::text[]) WITH ORDINALITY
        AS item (letter_id, job_id, verdict, error, number)
)
SELECT EXISTS (SELECT FROM planned);

-- Running

-- name: find_due(at_most)
SELECT id, extract(epoch FROM due_at - clock_timestamp())::float AS seconds FROM replays
WHERE finished_at IS NULL AND status = 'running' AND pending > 0
ORDER BY due_at LIMIT :at_most;

-- name: next_item(id, after)^
-- Ranges of one state, as in list_items_in. All items up to `after` were handled: their dead entries are not walked.
SELECT item.position, item.letter_id, edit, ramp, stage, replayed + succeeded + failed AS replayed
FROM replays CROSS JOIN LATERAL (
    SELECT position, letter_id FROM replay_items
    WHERE replay_id = :id AND (state, position) > ('pending', :after) AND state <= 'pending'
    ORDER BY state, position LIMIT 1
) AS item
WHERE id = :id AND status = 'running' AND due_at <= clock_timestamp();

-- name: mark_item(id, position, state, generation, error)$
-- False if the replay was paused or canceled meanwhile: then the item's replay must not commit. The pace is kept on the
-- average, but no more than three seconds' worth is made good, 5 % of a minute's.
WITH marked AS (
    UPDATE replay_items SET state = :state, generation = :generation, error = :error, at = clock_timestamp()
    WHERE replay_id = :id AND position = :position AND state = 'pending'
    RETURNING state
), counted AS (
    UPDATE replays SET
        pending = pending - 1,
        replayed = replayed + (marked.state = 'replayed')::integer,
        refused = refused + (marked.state = 'refused')::integer,
        due_at = CASE
            WHEN pace IS NULL OR marked.state = 'refused' THEN due_at
            ELSE greatest(due_at, clock_timestamp() - interval '3 seconds') + make_interval(secs => 1 / pace::float)
        END
    FROM marked
    WHERE id = :id AND replays.status = 'running'
    RETURNING 1
)
SELECT EXISTS (SELECT FROM counted);

-- Following

-- name: find_followed(at_most)
-- Those that run, paused ones with items under way, and such canceled ones of the last days, whose jobs have ended since
-- or expire. Nobody need ever resume or cancel a paused one: with those that rest, the batch would fill for good.
(SELECT id, ramp, stage FROM replays
 WHERE finished_at IS NULL AND (status = 'running' OR (status = 'paused' AND replayed > 0)) ORDER BY id LIMIT :at_most)
UNION ALL
(SELECT id, ramp, stage FROM replays
 WHERE finished_at > now() - interval '8 days' AND status = 'canceled' AND replayed > 0 ORDER BY finished_at LIMIT :at_most);

-- name: follow_items(id, after, at_most)^
-- Record the ends of jobs and deliveries. A job in a later generation has failed in this one. A failure pauses a ramp.
WITH visited AS MATERIALIZED (
    SELECT position, letter_id, job_id, generation FROM replay_items
    WHERE replay_id = :id AND (state, position) > ('replayed', :after) AND state <= 'replayed'
    ORDER BY state, position LIMIT :at_most
), found AS (
    SELECT position, job.status AS job_status, job.error AS job_error, delivery.status AS delivery_status,
        visited.generation IS NOT NULL AS of_job, coalesce(job.generation > visited.generation, false) AS failed_before
    FROM visited
    LEFT JOIN LATERAL (
        SELECT status, generation, error FROM jobs WHERE id = visited.job_id AND visited.generation IS NOT NULL OFFSET 0
    ) AS job ON true
    LEFT JOIN LATERAL (
        SELECT sent.status FROM dead_letters AS letter JOIN webhook_deliveries AS sent ON sent.id = letter.delivery_id
        WHERE letter.id = visited.letter_id AND visited.generation IS NULL OFFSET 0
    ) AS delivery ON true
), ended AS (
    SELECT position, CASE
        WHEN failed_before THEN 'failed'
        WHEN job_status IN ('queued', 'running') OR delivery_status = 'pending' THEN NULL
        WHEN 'succeeded' IN (job_status, delivery_status) THEN 'succeeded'
        ELSE 'failed'
    END AS state, CASE
        WHEN failed_before THEN 'The job failed again, and was replayed again.'
        WHEN of_job THEN coalesce('The job is ' || job_status || coalesce(': ' || (job_error ->> 'message'), '.'),
            'The job was removed because of its age.')
        ELSE coalesce('The delivery is ' || delivery_status || '.', 'The delivery was removed because of its age.')
    END AS reason
    FROM found
), marked AS (
    UPDATE replay_items AS item SET
        state = ended.state, error = CASE ended.state WHEN 'failed' THEN reason END, at = clock_timestamp()
    FROM ended
    WHERE item.replay_id = :id AND item.position = ended.position AND item.state = 'replayed' AND ended.state IS NOT NULL
    RETURNING item.position, item.state, item.error
), counts AS (
    SELECT count(*) FILTER (WHERE state = 'succeeded')::integer AS succeeded,
        count(*) FILTER (WHERE state = 'failed')::integer AS failed,
        (array_agg(error ORDER BY position) FILTER (WHERE state = 'failed'))[1] AS reason
    FROM marked
), counted AS (
    UPDATE replays SET
        replayed = replayed - counts.succeeded - counts.failed,
        succeeded = replays.succeeded + counts.succeeded,
        failed = replays.failed + counts.failed,
        status = CASE WHEN stops THEN 'paused' ELSE status END,
        paused_reason = CASE WHEN stops THEN 'Stage ' || stage + 1 || ' has a failure. ' || counts.reason ELSE paused_reason END
    FROM counts, (SELECT id, ramp IS NOT NULL AND status = 'running' AS ramps FROM replays WHERE id = :id) AS before,
        LATERAL (SELECT ramps AND counts.failed > 0 AS stops) AS verdict
    WHERE replays.id = before.id AND counts.succeeded + counts.failed > 0
)
SELECT (SELECT count(*)::integer FROM visited) AS items, (SELECT coalesce(max(position), 0) FROM visited) AS last,
    succeeded, failed FROM counts;

-- name: finish_replay(id)$
UPDATE replays SET status = 'finished', finished_at = clock_timestamp()
WHERE id = :id AND status = 'running' AND pending = 0 AND replayed = 0
RETURNING true;

-- name: begin_stage(id, stage, allowed)$
-- After each item of the stage before has ended.
UPDATE replays SET stage = stage + 1, stage_began_at = clock_timestamp()
WHERE id = :id AND status = 'running' AND stage = :stage AND replayed = 0 AND pending > 0
    AND succeeded + failed >= :allowed
RETURNING true;

-- name: pause_overdue(id)$
UPDATE replays SET
    status = 'paused',
    paused_reason = format('Stage %s has not ended after %s s: %s of its jobs or deliveries are under way.',
        stage + 1, stage_seconds, replayed)
WHERE id = :id AND status = 'running' AND ramp IS NOT NULL AND replayed > 0
    AND stage_began_at + make_interval(secs => stage_seconds) < clock_timestamp()
RETURNING true;

-- Retention

-- name: cancel_plans(age)!
-- Plans that nobody started.
UPDATE replays SET status = 'canceled', finished_at = clock_timestamp()
WHERE finished_at IS NULL AND status IN ('planning', 'planned') AND created_at < now() - :age::interval;

-- name: prune_items(at_most, age)$
-- Items of replays that ended long ago, replay by replay.
WITH old AS (
    SELECT id FROM replays WHERE finished_at < now() - :age::interval ORDER BY finished_at LIMIT 1 FOR UPDATE SKIP LOCKED
), pruned AS (
    DELETE FROM replay_items WHERE ctid = ANY (ARRAY(
        SELECT item.ctid FROM old JOIN replay_items AS item ON item.replay_id = old.id LIMIT :at_most))
    RETURNING 1
)
SELECT count(*) FROM pruned;

-- name: prune_replays(at_most, age)$
-- Replays that ended long ago and have no items left.
WITH pruned AS (
    DELETE FROM replays WHERE id = ANY (ARRAY(
        SELECT id FROM replays
        WHERE finished_at < now() - :age::interval
            AND NOT EXISTS (SELECT FROM replay_items WHERE replay_id = replays.id OFFSET 0)
        ORDER BY finished_at LIMIT :at_most FOR UPDATE SKIP LOCKED))
    RETURNING 1
)
SELECT count(*) FROM pruned;
