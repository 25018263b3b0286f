-- name: insert_entry(actor, action, subject, reason, before, after)!
INSERT INTO audit_log (actor, action, subject, reason, before, after)
VALUES (:actor, :action, :subject, :reason, :before, :after);

-- name: read_entries(actor, action, subject, created_after, created_before, before, at_most)
-- The log walks ids, which grow with time to within the length of a transaction.
SELECT entry.id, entry.at, actor, key.name AS actor_name, action, subject, reason, entry.before, entry.after
FROM audit_log AS entry LEFT JOIN api_keys AS key ON key.id = actor
WHERE entry.id < :before AND (:actor::text IS NULL OR actor = :actor) AND (:action::text IS NULL OR action = :action)
    AND (:subject::text IS NULL OR subject = :subject)
    AND (:created_after::timestamptz IS NULL OR entry.at >= :created_after)
    AND (:created_before::timestamptz IS NULL OR entry.at < :created_before)
ORDER BY entry.id DESC LIMIT :at_most;
