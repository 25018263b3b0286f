-- Folding

-- name: lock_groups()$
-- False while another transaction folds or prunes. The lock is released at the end of the transaction. Statements after
-- it see what the one before committed.
SELECT pg_try_advisory_xact_lock(hashtext('darkroom dead-letter groups'));

-- name: fold(at_most)
-- Move the oldest deltas into the groups. Returns how many were taken, in a row without a group, and the groups that were
-- made or have no open letter any more. A letter's deltas are numbered in the order of its changes, so that no count
-- falls below zero. A group whose letters are all gone is not made again.
WITH taken AS (
    DELETE FROM dead_letter_deltas
    WHERE id = ANY (ARRAY(SELECT id FROM dead_letter_deltas ORDER BY id LIMIT :at_most))
    RETURNING group_id, change, is_new, at
), changed AS (
    SELECT group_id, sum(change) AS change, count(*) FILTER (WHERE is_new) AS added,
        min(at) FILTER (WHERE is_new) AS first_at, max(at) FILTER (WHERE is_new) AS last_at
    FROM taken GROUP BY group_id
), counted AS (
    UPDATE dead_letter_groups AS letter_group SET
        open = open + change, total = total + added,
        first_seen_at = least(first_seen_at, first_at), last_seen_at = greatest(last_seen_at, last_at)
    FROM changed
    WHERE letter_group.id = changed.group_id AND letter_group.id = ANY (ARRAY(SELECT group_id FROM changed))
    RETURNING letter_group.*, change
), made AS (
    INSERT INTO dead_letter_groups (id, kind, model, reason, fingerprint, sample, open, total, first_seen_at, last_seen_at)
    SELECT group_id, kind, model, reason, fingerprint, error, change, added, first_at, last_at
    FROM changed CROSS JOIN LATERAL (
        SELECT kind, model, reason, fingerprint, error FROM dead_letters
        WHERE group_id >= changed.group_id AND group_id <= changed.group_id ORDER BY group_id, id LIMIT 1
    ) AS letter
    WHERE added > 0 AND NOT EXISTS (SELECT FROM dead_letter_groups WHERE id = changed.group_id OFFSET 0)
    RETURNING *
), by_hour AS (
    INSERT INTO dead_letter_hours AS hours (group_id, hour, opened)
    SELECT group_id, date_trunc('hour', at, 'UTC'), count(*) FROM taken
    WHERE is_new AND group_id IN (SELECT id FROM counted UNION ALL SELECT id FROM made)
    GROUP BY 1, 2
    ON CONFLICT (group_id, hour) DO UPDATE SET opened = hours.opened + excluded.opened
)
SELECT NULL AS id, false AS is_new, count(*) AS taken, NULL AS kind, NULL AS model, NULL AS reason, NULL AS message FROM taken
UNION ALL
SELECT id, true, 0, kind, model, reason, sample ->> 'message' FROM made
UNION ALL
SELECT id, false, 0, kind, model, reason, sample ->> 'message' FROM made WHERE open = 0
UNION ALL
SELECT id, false, 0, kind, model, reason, sample ->> 'message' FROM counted WHERE open = 0 AND change < 0;

-- Reading. A list is ids first, along an index, and then their rows with what is not folded: in one statement, so that a
-- folding that ends meanwhile is seen whole or not at all. OFFSET 0 keeps a look-up from becoming a join; two bounds and
-- the order of a whole index keep Postgres from walking another one, or from sorting all letters of a group.

-- name: walk_groups(is_open, seen_at, id, lowest, at_most)
-- Groups with open letters first, then the newest. `lowest` is true where those without open letters are left out.
SELECT id, open > 0 AS is_open, last_seen_at FROM dead_letter_groups
WHERE ((open > 0), last_seen_at, id) < (:is_open, :seen_at::timestamptz, :id::uuid) AND (open > 0) >= :lowest
ORDER BY (open > 0) DESC, last_seen_at DESC, id DESC LIMIT :at_most;

-- name: read_groups(ids, with_pending, status, kind, model, text, at_most, at_most_pending)
-- Groups by their ids, in the order of the walk that found them. With `with_pending` those before them that no walk of
-- this status finds, because what makes them match is not folded. `hours` has hours of the last day, as hours ago, and
-- `opened` their counts.
WITH oldest AS MATERIALIZED (
    SELECT group_id, change, is_new, at FROM dead_letter_deltas ORDER BY id LIMIT :at_most_pending
), pending AS MATERIALIZED (
    SELECT group_id, sum(change) AS change, count(*) FILTER (WHERE is_new) AS added,
        min(at) FILTER (WHERE is_new) AS first_at, max(at) FILTER (WHERE is_new) AS last_at
    FROM oldest GROUP BY group_id
), wanted AS (
    SELECT id FROM unnest(:ids::uuid[]) AS id
    UNION
    SELECT group_id FROM pending WHERE :with_pending
), found AS (
    SELECT wanted.id, coalesce(made.kind, letter.kind) AS kind, coalesce(made.model, letter.model) AS model,
        coalesce(made.reason, letter.reason) AS reason, coalesce(made.fingerprint, letter.fingerprint) AS fingerprint,
        coalesce(made.sample, letter.error) AS sample,
        coalesce(made.shape, lower(error_shape(letter.error ->> 'message'))) AS shape,
        coalesce(made.open, 0) + coalesce(change, 0) AS open, coalesce(made.total, 0) + coalesce(added, 0) AS total,
        least(made.first_seen_at, first_at) AS first_seen_at, greatest(made.last_seen_at, last_at) AS last_seen_at,
        note, note_by, note_at, known_until, wanted.id = ANY (:ids) AS walked, made.open > 0 AS was_open,
        made.last_seen_at AS was_seen_at
    FROM wanted LEFT JOIN pending ON pending.group_id = wanted.id
        LEFT JOIN LATERAL (SELECT * FROM dead_letter_groups WHERE id = wanted.id OFFSET 0) AS made ON true
        LEFT JOIN LATERAL (
            SELECT kind, model, reason, fingerprint, error FROM dead_letters
            WHERE group_id >= wanted.id AND group_id <= wanted.id AND made.id IS NULL ORDER BY group_id, id LIMIT 1
        ) AS letter ON true
    WHERE CASE
        WHEN made.id IS NULL THEN added > 0 AND letter.kind IS NOT NULL
        ELSE wanted.id = ANY (:ids) OR (made.open > 0) <> (:status::text = 'open')
    END
), page AS (
    SELECT * FROM found
    WHERE (:status IS NULL OR (open > 0) = (:status = 'open')) AND (:kind::text IS NULL OR kind = :kind)
        AND (:model::text IS NULL OR model = :model)
        AND (:text::text IS NULL OR strpos(reason, lower(:text)) > 0 OR strpos(shape, lower(error_shape(:text))) > 0)
    ORDER BY walked, coalesce(was_open, true) DESC, coalesce(was_seen_at, last_seen_at) DESC, id DESC LIMIT :at_most
), day AS (
    SELECT group_id, array_agg(hours_ago) AS hours, array_agg(counts.opened) AS opened FROM (
        SELECT group_id, extract(epoch FROM date_trunc('hour', now(), 'UTC') - hour)::integer / 3600 AS hours_ago, opened
        FROM dead_letter_hours
        WHERE group_id = ANY (ARRAY(SELECT id FROM page)) AND hour > date_trunc('hour', now(), 'UTC') - interval '24 hours'
        UNION ALL
        SELECT group_id, extract(epoch FROM date_trunc('hour', now(), 'UTC') - date_trunc('hour', at, 'UTC'))::integer / 3600,
            count(*)
        FROM oldest WHERE is_new GROUP BY 1, 2
    ) AS counts
    GROUP BY group_id
)
SELECT page.*, sample ->> 'message' AS message, sample ->> 'stage' AS stage, hours, day.opened, (
    SELECT CASE WHEN count(*) = :at_most_pending THEN max(at) ELSE now() END FROM oldest) AS as_of
FROM page LEFT JOIN day ON day.group_id = page.id
ORDER BY walked, coalesce(was_open, true) DESC, coalesce(was_seen_at, last_seen_at) DESC, page.id DESC;

-- Notes

-- name: lock_group(id)^
SELECT note, note_by, known_until FROM dead_letter_groups WHERE id = :id FOR UPDATE;

-- name: write_note(id, text, actor, known_until)!
UPDATE dead_letter_groups SET
    note = :text, note_by = CASE WHEN :text::text IS NOT NULL THEN :actor END,
    note_at = CASE WHEN :text IS NOT NULL THEN now() END, known_until = :known_until
WHERE id = :id;

-- Suspects

-- name: describe_letters(id, at_most, hours)
-- The newest letters of a group, as far as they are of the newest hours that have any, counted by each property.
WITH newest AS MATERIALIZED (
    SELECT created_at, worker, session_id, job_id FROM dead_letters
    WHERE group_id >= :id AND group_id <= :id ORDER BY group_id DESC, id DESC LIMIT :at_most
), since AS (
    SELECT min(hour) AS hour FROM (
        SELECT DISTINCT date_trunc('hour', created_at, 'UTC') AS hour FROM newest ORDER BY hour DESC LIMIT :hours
    ) AS newest_hours
), described AS MATERIALIZED (
    SELECT letter.created_at, letter.worker, session.gpu_id, session.model_revision, session.versions::text, scheduler, size
    FROM newest AS letter
        LEFT JOIN worker_sessions AS session ON session.id = letter.session_id
        LEFT JOIN LATERAL (
            SELECT merged_input(jobs) ->> 'scheduler' AS scheduler,
                (merged_input(jobs) ->> 'width') || 'x' || (merged_input(jobs) ->> 'height') AS size
            FROM jobs WHERE id = letter.job_id AND deleted_at IS NULL OFFSET 0
        ) AS job ON true
    WHERE letter.created_at >= (SELECT hour FROM since)
)
SELECT NULL AS kind, NULL AS value, count(*) AS letters, min(created_at) AS first_seen_at, max(created_at) AS last_seen_at,
    array_agg(DISTINCT date_trunc('hour', created_at, 'UTC')) AS hours
FROM described
UNION ALL (
    SELECT kind, value, count(*), min(created_at), max(created_at), NULL
    FROM described CROSS JOIN LATERAL (VALUES
        ('worker', worker), ('gpu', gpu_id), ('model_revision', model_revision), ('versions', versions),
        ('scheduler', scheduler), ('size', size)) AS property (kind, value)
    WHERE value IS NOT NULL GROUP BY kind, value
);

-- name: sample_attempts(hours, model, parts, at_most)
-- Attempts of a model that began in some hours, counted by each property. An hour is walked in `parts`, of which each contributes at
-- most its share of the sample: where that is not reached, the sample is all attempts.
WITH sampled AS MATERIALIZED (
    SELECT attempt.worker, attempt.session_id, attempt.job_id
    FROM unnest(:hours::timestamptz[]) AS hour, generate_series(0, :parts::integer - 1) AS part CROSS JOIN LATERAL (
        SELECT worker, session_id, job_id FROM attempts
        WHERE started_at >= hour + part * interval '1 hour' / :parts
            AND started_at < hour + (part + 1) * interval '1 hour' / :parts
        ORDER BY started_at LIMIT greatest(1, :at_most::integer / (:parts * cardinality(:hours)))
    ) AS attempt
), described AS MATERIALIZED (
    SELECT attempt.worker, session.gpu_id, session.model_revision, session.versions::text, scheduler, size
    FROM sampled AS attempt
        LEFT JOIN worker_sessions AS session ON session.id = attempt.session_id
        CROSS JOIN LATERAL (
            SELECT merged_input(jobs) ->> 'scheduler' AS scheduler,
                (merged_input(jobs) ->> 'width') || 'x' || (merged_input(jobs) ->> 'height') AS size
            FROM jobs WHERE id = attempt.job_id AND model IS NOT DISTINCT FROM :model OFFSET 0
        ) AS job
)
SELECT NULL AS kind, NULL AS value, count(*) AS attempts FROM described
UNION ALL (
    SELECT kind, value, count(*)
    FROM described CROSS JOIN LATERAL (VALUES
        ('worker', worker), ('gpu', gpu_id), ('model_revision', model_revision), ('versions', versions),
        ('scheduler', scheduler), ('size', size)) AS property (kind, value)
    WHERE value IS NOT NULL GROUP BY kind, value
);

-- Retention

-- name: wait_for_groups()!
-- As lock_groups, but wait for the transaction that folds.
SELECT pg_advisory_xact_lock(hashtext('darkroom dead-letter groups'));

-- name: prune_groups(after, at_most)^
-- Groups without letters, unless a note says that more are expected. One that a letter appears in meanwhile is made again.
-- Foreign keys remove their hours.
WITH visited AS MATERIALIZED (
    SELECT id FROM dead_letter_groups WHERE id > :after ORDER BY id LIMIT :at_most
), pruned AS (
    DELETE FROM dead_letter_groups AS letter_group
    WHERE id = ANY (ARRAY(SELECT id FROM visited)) AND open = 0 AND (known_until IS NULL OR known_until < now())
        AND NOT EXISTS (SELECT FROM dead_letters WHERE group_id = letter_group.id OFFSET 0)
    RETURNING 1
)
SELECT (SELECT count(*) FROM visited) AS visited, (SELECT count(*) FROM pruned) AS removed,
    (SELECT id FROM visited ORDER BY id DESC LIMIT 1) AS last_id;

-- name: prune_hours(at_most, age)$
WITH pruned AS (
    DELETE FROM dead_letter_hours WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM dead_letter_hours WHERE hour < now() - :age::interval ORDER BY hour LIMIT :at_most
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*) FROM pruned;
