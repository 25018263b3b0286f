-- name: find_keys(ids)
-- Keys that are not revoked. The caller, which may cache the row, checks the expiry.
SELECT id, tenant_id, scope, secret_hash, expires_at FROM api_keys WHERE id = ANY (:ids) AND revoked_at IS NULL;

-- name: walk_indexes()$
-- For this transaction only. A count with a limit should read one index in order. The planner does not know that the
-- rows are at the end of the table, and would read a million finished jobs first.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_sort', 'off', true);
