-- name: insert_entry(actor, action, subject)!
INSERT INTO audit_log (actor, action, subject) VALUES (:actor, :action, :subject);
