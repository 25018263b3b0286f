-- name: insert_entry(actor, action, subject, reason, before, after)!
INSERT INTO audit_log (actor, action, subject, reason, before, after)
VALUES (:actor, :action, :subject, :reason, :before, :after);

-- A page walks one index backwards, from a position to a time: the index of the narrowest filter. It looks at the other
-- filters on the way. Whole rows of the index are compared and ordered, since Postgres would otherwise choose the index of
-- times where it believes a filter to leave many entries.

-- name: walk_all(at, id, since, at_most)
SELECT id FROM audit_log
WHERE (at, id) < (:at::timestamptz, :id::bigint) AND at >= :since::timestamptz
ORDER BY at DESC, id DESC LIMIT :at_most;

-- name: walk_subject(subject, at, id, since, actor, action, at_most)
SELECT id FROM audit_log
WHERE (subject, at, id) < (:subject::text, :at::timestamptz, :id::bigint)
    AND (subject, at) >= (:subject, :since::timestamptz)
    AND (:actor::text IS NULL OR actor = :actor) AND (:action::text IS NULL OR action = :action)
ORDER BY subject DESC, at DESC, id DESC LIMIT :at_most;

-- name: walk_actor(actor, at, id, since, action, at_most)
SELECT id FROM audit_log
WHERE (actor, at, id) < (:actor::text, :at::timestamptz, :id::bigint)
    AND (actor, at) >= (:actor, :since::timestamptz) AND (:action::text IS NULL OR action = :action)
ORDER BY actor DESC, at DESC, id DESC LIMIT :at_most;

-- name: walk_action(action, at, id, since, at_most)
SELECT id FROM audit_log
WHERE (action, at, id) < (:action::text, :at::timestamptz, :id::bigint)
    AND (action, at) >= (:action, :since::timestamptz)
ORDER BY action DESC, at DESC, id DESC LIMIT :at_most;

-- name: read_entries(ids)
-- In any order: an index walk would look for an index that has the one asked for.
SELECT id, at, actor, (SELECT name FROM api_keys AS key WHERE key.id = actor) AS actor_name, action, subject, reason,
    before, after
FROM audit_log WHERE id = ANY (:ids::bigint[]);
