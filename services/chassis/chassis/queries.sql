-- name: find_keys(ids)
-- Keys that are not revoked. The caller, which may cache the row, checks the expiry.
SELECT id, tenant_id, scope, secret_hash, expires_at FROM api_keys WHERE id = ANY (:ids) AND revoked_at IS NULL;

-- name: note_use(ids)!
-- At most once a minute a key, whichever processes see it, which the lock's recheck ensures. A key that is locked is
-- being noted by another process. A HOT update: no index holds the column.
UPDATE api_keys SET last_used_at = now() WHERE id IN (
    SELECT id FROM api_keys
    WHERE id = ANY (:ids) AND (last_used_at IS NULL OR last_used_at <= now() - interval '1 minute')
    FOR UPDATE SKIP LOCKED
);

-- name: walk_indexes()$
-- For this transaction only. A count with a limit should read one index in order. The planner does not know that the
-- rows are at the end of the table, and would read a million finished jobs first. Such a walk is the right plan for all
-- arguments, so it is kept: planning a statement anew for each call's takes longer than many of them run.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_sort', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true);
