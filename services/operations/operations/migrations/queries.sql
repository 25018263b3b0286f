-- name: set_lock_timeout(timeout)$
-- For the later statements of this session; 0 waits without limit.
SELECT set_config('lock_timeout', :timeout, false);

-- name: try_lock_migrations()$
-- A session-level lock: it covers all migrations and ends with the connection.
SELECT pg_try_advisory_lock(hashtextextended('darkroom.migrations', 0));

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

-- name: invalid_indexes(migration)
-- Invalid indexes that the migration's text names. An interrupted CREATE INDEX CONCURRENTLY leaves one, which neither
-- serves queries nor is built again by IF NOT EXISTS. Under the lock between migrators no other session is building it.
SELECT relname AS name, format('DROP INDEX CONCURRENTLY %s', indexrelid::regclass) AS drop
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT indisvalid AND relkind = 'i' AND relnamespace = current_schema()::regnamespace
    AND relname = ANY (regexp_split_to_array(:migration, '\W+'))
ORDER BY relname;

-- name: oldest_transaction(besides)^
-- The probable cause of the migrator's wait. The age of other roles' transactions is visible to pg_read_all_stats only.
SELECT pid, usename AS role, application_name AS application, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start IS NOT NULL
    AND pid NOT IN (pg_backend_pid(), :besides)
ORDER BY xact_start LIMIT 1;

-- name: session_defaults(roles)
-- Statements that set the defaults of the roles in this database where they differ. They are set here and not when a
-- connection starts, where a connection pooler refuses them, and not in a numbered migration, since a dump omits them.
SELECT format('ALTER ROLE %I IN DATABASE %I SET %I = %L', rolname, datname, setting, value) AS statement
FROM (VALUES
    -- Just-in-time compilation costs more than any of our queries.
    ('jit', 'off'),
    -- A frozen client releases its row locks. The relay waits for the broker inside a transaction, at most 5 s.
    ('idle_in_transaction_session_timeout', '10s'),
    -- The server detects a vanished client within 25 s, whether or not it was sending to it.
    ('tcp_keepalives_idle', '10'),
    ('tcp_keepalives_interval', '5'),
    ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '25s')
) AS defaults (setting, value)
CROSS JOIN unnest(current_user::text || :roles::text[]) AS wanted (rolname)
JOIN pg_database ON datname = current_database()
WHERE NOT EXISTS (
    SELECT FROM pg_db_role_setting
    WHERE setdatabase = pg_database.oid AND setrole = to_regrole(quote_ident(wanted.rolname))
        AND format('%s=%s', setting, value) = ANY (setconfig)
);
