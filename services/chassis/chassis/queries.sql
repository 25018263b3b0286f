-- name: find_keys(ids)
-- The keys that were not revoked. Their expiry is checked by the caller, which may remember the row for a while.
SELECT id, tenant_id, scope, secret_hash, expires_at FROM api_keys WHERE id = ANY (:ids) AND revoked_at IS NULL;

-- name: walk_indexes()$
-- For this transaction only. A count that stops at a bound reads one index in its order; the planner, who can't know that
-- the rows it wants are the table's last, would rather read a million finished jobs on the way to them.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_sort', 'off', true);
