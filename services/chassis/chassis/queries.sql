-- name: find_keys(ids)
-- The keys that were not revoked. Their expiry is checked by the caller, which may remember the row for a while.
SELECT id, tenant_id, scope, secret_hash, expires_at FROM api_keys WHERE id = ANY (:ids) AND revoked_at IS NULL;
