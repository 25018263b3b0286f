-- Backlogs are written by SQL, since submitting a million jobs takes minutes.
--
-- The queries work with the schema of any checkout. `wanted_jobs` and `wanted_attempts` have the columns of all versions
-- of the schema; insert_known() copies the columns that the checkout's table has.

-- name: create_wanted_tables()#
CREATE TEMP TABLE wanted_jobs (
    id uuid, tenant_id uuid, model text, input jsonb, metadata jsonb, webhook_events text[], traceparent text,
    status text, attempt integer, step integer, steps integer, worker text,
    ttl interval, created_at timestamptz, queued_at timestamptz, started_at timestamptz, completed_at timestamptz,
    expires_at timestamptz, republish_at timestamptz, announced_at timestamptz,
    outputs jsonb, receipt jsonb, metrics jsonb, cost bigint
);
CREATE TEMP TABLE wanted_attempts (
    lease_token uuid, job_id uuid, generation integer, attempt integer, worker text,
    started_at timestamptz, ended_at timestamptz, outcome text
);
CREATE OR REPLACE FUNCTION pg_temp.insert_known(source regclass, target regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    known text := (
        SELECT string_agg(quote_ident(attname), ', ')
        FROM pg_attribute AS wanted JOIN pg_attribute AS own USING (attname)
        WHERE wanted.attrelid = source AND own.attrelid = target AND own.attnum > 0 AND own.attgenerated = ''
    );
BEGIN
    EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM %s', target, known, known, source);
END $$;
-- Returns a UUIDv7 (RFC 9562, section 5.7) of a given time.
CREATE OR REPLACE FUNCTION pg_temp.uuid7(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || '7' || substr(random, 1, 3) || '8' || substr(random, 4, 15))::uuid
    FROM (SELECT replace(gen_random_uuid()::text, '-', '') AS random) AS source;
$$;
-- Returns an input as the gateway resolves it for the model `tiny`.
CREATE OR REPLACE FUNCTION pg_temp.input(number bigint) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_build_object(
        'prompt', format('%s, study number %s', 'a lighthouse on a rocky coast at dusk, oil on canvas, long shadows'
            ' over a calm sea, warm light in the windows, gulls above the water, thin clouds, visible brush strokes,'
            ' muted colours, highly detailed', number),
        'negative_prompt', 'blurry, low contrast, oversaturated, text, watermark', 'num_inference_steps', 20, 'guidance_scale', 7.5,
        'scheduler', 'ddim', 'width', 64, 'height', 64, 'seed', (random() * 4294967295)::bigint, 'num_images', 1,
        'output_format', 'png', 'preview_every', 0);
$$;
CREATE OR REPLACE FUNCTION pg_temp.digest(id uuid) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(uuid_send(id)), 'hex');
$$;

-- name: drop_wanted_tables()#
DROP TABLE wanted_jobs, wanted_attempts;

-- name: want_queued_jobs(model, first, last, of, span, due)!
-- The first job is the oldest; its age is `span`. Earlier versions publish a job again when its age reaches `due`.
INSERT INTO wanted_jobs (
    id, tenant_id, model, input, metadata, webhook_events, traceparent, status, attempt,
    ttl, created_at, queued_at, announced_at, expires_at, republish_at, cost)
SELECT
    pg_temp.uuid7(at), tenant_id, :model, pg_temp.input(number), jsonb_build_object('order', number::text),
    '{job.canceled,job.expired,job.failed,job.succeeded}', format('00-%s-%s-01', md5(number::text), substr(md5(number::text), 1, 16)),
    'queued', 0, '7 days', at, at, at, at + interval '7 days', at + :due::interval, 81920
FROM (
    SELECT number, now() - :span::interval * ((:of::bigint - number) / :of::float8) AS at
    FROM generate_series(:first::bigint, :last::bigint) AS number
) AS series, (SELECT tenant_id FROM api_keys WHERE scope = 'client' ORDER BY created_at LIMIT 1) AS client
ORDER BY number;

-- name: want_succeeded_jobs(model, jobs)!
-- Jobs that finished within the last hours, each with one picture.
INSERT INTO wanted_jobs (
    id, tenant_id, model, input, metadata, webhook_events, traceparent, status, attempt, step, steps, worker,
    ttl, created_at, queued_at, announced_at, started_at, completed_at, expires_at, republish_at,
    outputs, receipt, metrics, cost)
SELECT
    id, tenant_id, :model, input, jsonb_build_object('order', number::text),
    '{job.canceled,job.expired,job.failed,job.succeeded}', format('00-%s-%s-01', md5(number::text), substr(md5(number::text), 1, 16)),
    'succeeded', 1, 20, 20, 'worker-1', '1 day', at, at, at, at + interval '4 seconds', at + interval '5 seconds',
    at + interval '1 day', at + interval '10 minutes',
    jsonb_build_array(jsonb_build_object('index', 0, 'key', format('jobs/%s/0-%s.png', id, pg_temp.digest(id)),
        'content_type', 'image/png', 'width', 64, 'height', 64, 'size_bytes', 8192, 'sha256', pg_temp.digest(id),
        'seed', input -> 'seed')),
    jsonb_build_object('model_revision', pg_temp.digest(tenant_id), 'scheduler', 'ddim', 'dtype', 'float32',
        'device', 'cpu', 'versions', '{"torch": "2.13.0", "diffusers": "0.42.0", "transformers": "5.23.0"}'::jsonb,
        'manifest_sha256', pg_temp.digest(tenant_id), 'batch_size', 1, 'tiled', false, 'pictures',
        jsonb_build_array(jsonb_build_object('seed', input -> 'seed', 'sha256', pg_temp.digest(id)))),
    '{"inference_ms": 912.5, "store_ms": 11.25}', 81920
FROM (
    SELECT number, at, pg_temp.uuid7(at) AS id, pg_temp.input(number) AS input
    FROM generate_series(1, :jobs::bigint) AS number,
        LATERAL (SELECT now() - interval '6 seconds' - (:jobs - number) * interval '0.1 seconds' AS at) AS moment
) AS series, (SELECT tenant_id FROM api_keys WHERE scope = 'client' ORDER BY created_at LIMIT 1) AS client;

-- name: want_attempts()!
INSERT INTO wanted_attempts
SELECT gen_random_uuid(), id, 1, 1, worker, started_at, completed_at, 'succeeded' FROM wanted_jobs;

-- name: insert_wanted_jobs()!
SELECT pg_temp.insert_known('wanted_jobs', 'jobs');

-- name: insert_wanted_attempts()!
SELECT pg_temp.insert_known('wanted_attempts', 'attempts');

-- name: forget_wanted()#
TRUNCATE wanted_jobs, wanted_attempts;

-- name: empty()#
-- The messages of the removed jobs stay in the broker, where no worker consumes them.
TRUNCATE jobs, outbox, idempotency_keys CASCADE;

-- name: vacuum()#
VACUUM (ANALYZE) jobs;

-- name: checkpoint()#
-- Writes dirty pages to disk now instead of during a measurement.
CHECKPOINT;

-- name: queued_ids(at_most)
-- Jobs of the younger half of the queue, in random order.
SELECT id FROM (
    SELECT id, row_number() OVER (ORDER BY queued_at DESC, id DESC) AS place, count(*) OVER () AS jobs
    FROM jobs WHERE status = 'queued'
) AS queue
WHERE place <= (jobs + 1) / 2
ORDER BY random() LIMIT :at_most;

-- name: succeeded_ids(at_most)
SELECT id FROM jobs WHERE status = 'succeeded' ORDER BY random() LIMIT :at_most;

-- name: outbox_depth()$
SELECT count(*) FROM outbox;

-- name: outbox_is_empty()$
SELECT NOT EXISTS (SELECT FROM outbox);

-- name: queue_messages()!
-- One message for each job, oldest first. Where the schema stores the creation time of an outbox row, it is the time at
-- which the job was queued, as if the job had been published then.
INSERT INTO wanted_outbox (job_id, generation, model, traceparent, created_at)
SELECT id, generation, model, traceparent, queued_at FROM jobs WHERE status = 'queued' ORDER BY queued_at, id;

-- name: create_wanted_outbox()#
CREATE TEMP TABLE wanted_outbox (
    job_id uuid, generation integer, model text, traceparent text, created_at timestamptz);

-- name: insert_wanted_messages()!
SELECT pg_temp.insert_known('wanted_outbox', 'outbox');

-- name: remembers_announcements()$
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'jobs'::regclass AND attname = 'announced_at');

-- name: backdate_announcements()#
-- Replaces the time of publishing, which the relay stored, by the time at which the job was queued.
UPDATE jobs SET announced_at = queued_at WHERE status = 'queued';

-- name: compact()#
VACUUM (FULL, ANALYZE) jobs;

-- name: vacuum_outbox()#
VACUUM (ANALYZE) outbox;

-- name: count_flows()^
-- Counts of what needs a message, jobs and their returns to the queue, and of what consumed one, claims.
SELECT
    (SELECT count(*) FROM jobs) AS jobs,
    (SELECT count(*) FROM attempts) AS claims,
    (SELECT count(*) FROM attempts WHERE outcome IN ('released', 'retried', 'lost')) AS returns;

-- name: table_bytes(name)$
SELECT pg_total_relation_size(:name::text::regclass);
