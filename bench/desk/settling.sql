-- Jobs that fail at their settle, or are lost with their worker.

-- name: lose(first, count)!
-- Their last attempts began, and their leases ran out.
UPDATE jobs SET attempt = max_attempts, lease_expires_at = now() - interval '1 minute'
FROM bench_endings WHERE id = job_id AND number BETWEEN :first::bigint AND :first::bigint + :count::bigint - 1;

-- name: reap()$
SELECT reap_jobs();

-- name: disable_counting()!
ALTER TABLE dead_letters DISABLE TRIGGER count_new_letter;

-- name: enable_counting()!
ALTER TABLE dead_letters ENABLE TRIGGER count_new_letter;

-- name: count_folded()$
SELECT coalesce(sum(open), 0)::bigint FROM dead_letter_groups;
