-- name: ensure_tenant(name)$
-- The update changes nothing; it makes RETURNING answer for an existing row as well.
INSERT INTO tenants (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id;

-- name: insert_key(id, tenant_id, scope, name, secret_hash, lifetime)^
INSERT INTO api_keys (id, tenant_id, scope, name, secret_hash, expires_at)
VALUES (:id, :tenant_id, :scope, :name, :secret_hash, now() + :lifetime::interval)
RETURNING created_at, expires_at;

-- name: list_keys()
SELECT api_keys.id, scope, api_keys.name, tenants.name AS tenant, api_keys.created_at, expires_at, revoked_at
FROM api_keys JOIN tenants ON tenants.id = tenant_id
ORDER BY api_keys.created_at, api_keys.id;

-- name: revoke_key(id)^
-- A second revocation keeps the time of the first.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
FROM tenants
WHERE api_keys.id = :id AND tenants.id = tenant_id
RETURNING api_keys.id, scope, api_keys.name, tenants.name AS tenant, api_keys.created_at, expires_at, revoked_at;
