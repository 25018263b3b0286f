-- Migrations

-- name: set_lock_timeout()!
-- Bounds the wait for the advisory lock, and that of a migration's DDL for its tables.
SET lock_timeout = '60s';

-- name: lock_migrations()!
-- A session's lock: it is held over all migrations and goes with the connection.
SELECT pg_advisory_lock(hashtextextended('darkroom.migrations', 0));

-- name: create_schema_migrations()!
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied_migrations()
SELECT version, name, sha256 FROM schema_migrations ORDER BY version;

-- name: record_migration(version, name, sha256)!
INSERT INTO schema_migrations (version, name, sha256) VALUES (:version, :name, :sha256);

-- Keys

-- name: ensure_tenant(name)$
-- The update changes nothing; it makes the row come back whether it was there or not.
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
-- The first revocation's time stays.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
FROM tenants
WHERE api_keys.id = :id AND tenants.id = tenant_id
RETURNING api_keys.id, scope, api_keys.name, tenants.name AS tenant, api_keys.created_at, expires_at, revoked_at;
