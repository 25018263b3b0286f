-- name: find_key(id)^
-- A key that was not revoked. Its expiry is checked by the caller, which may remember the row for a while.
SELECT tenant_id, scope, secret_hash, expires_at FROM api_keys WHERE id = :id AND revoked_at IS NULL;
