-- Jobs that are about to end, written by SQL: rendering them would take longer than the measurement.

-- name: create_endings()#
-- One row for each job to end, numbered in the order of their ends.
CREATE UNLOGGED TABLE IF NOT EXISTS bench_endings (number bigint PRIMARY KEY, job_id uuid NOT NULL, token uuid NOT NULL);

-- name: empty()#
TRUNCATE jobs, outbox, idempotency_keys, webhook_deliveries, dead_letters, dead_letter_deltas, object_sweeps, bench_endings CASCADE;
DELETE FROM webhook_endpoints WHERE NOT implicit;

-- name: add_tenants(count)
-- Their implicit endpoints are made with them.
INSERT INTO tenants (name) SELECT 'bench-' || gen_random_uuid() FROM generate_series(1, :count::integer) RETURNING id;

-- name: add_running_jobs(tenants, urls, metadata, padding, first, count)!
-- Jobs that a worker holds, as they are just before their end. Tenants and URLs are taken in turn; a URL ends with the
-- job's number. A job without a URL has no webhook, and as many bytes of padding instead: the number of rows that fit
-- into a page decides what an update costs.
WITH planned AS (
    SELECT number, uuidv7() AS id, gen_random_uuid() AS token,
        (:tenants::uuid[])[1 + number % cardinality(:tenants::uuid[])] AS tenant_id,
        (:urls::text[])[1 + number % cardinality(:urls::text[])] || number AS url,
        jsonb_build_object(
            'prompt', format('%s, study number %s', 'a lighthouse on a rocky coast at dusk, oil on canvas, long shadows'
                ' over a calm sea, warm light in the windows, gulls above the water, thin clouds, visible brush'
                ' strokes, muted colours, highly detailed', number),
            'negative_prompt', 'blurry, low contrast, oversaturated, text, watermark', 'num_inference_steps', 20,
            'guidance_scale', 7.5, 'scheduler', 'ddim', 'width', 512, 'height', 512, 'seed', number, 'num_images', 1,
            'output_format', 'png', 'preview_every', 0) AS input
    FROM generate_series(:first::bigint, :first::bigint + :count::bigint - 1) AS number
), running AS (
    INSERT INTO jobs (id, tenant_id, model, input, metadata, webhook_url, webhook_events, traceparent, ttl, expires_at,
        status, attempt, started_at, worker, lease_token, lease_expires_at, step, steps, cost)
    SELECT id, tenant_id, 'tiny', input, CASE WHEN url IS NULL
            THEN :metadata::jsonb || jsonb_build_object('padding', repeat('x', :padding::integer))
            ELSE :metadata::jsonb || '{"padding": ""}' END,
        url, '{job.canceled,job.expired,job.failed,job.succeeded}',
        format('00-%s-%s-01', md5(id::text), left(md5(id::text), 16)), '1 day', now() + interval '1 day',
        'running', 1, now(), 'worker-1', token, now() + interval '1 day', 20, 20, 5242880
    FROM planned
), begun AS (
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker, started_at)
    SELECT token, id, 1, 1, 'worker-1', now() FROM planned
)
INSERT INTO bench_endings (number, job_id, token) SELECT number, id, token FROM planned;

-- name: add_hung_endpoints(tenants, urls)!
-- Standing endpoints, whose jobs are those with the metadata {"to": "hung"}.
INSERT INTO webhook_endpoints (tenant_id, url, events, metadata_filter)
SELECT (:tenants::uuid[])[1 + number % cardinality(:tenants::uuid[])], url, '{job.succeeded}', '{"to": "hung"}'
FROM unnest(:urls::text[]) WITH ORDINALITY AS hung (url, number);

-- name: let_all_have_failed()#
-- As one attempt of every delivery leaves them: it failed, and the next one is due.
UPDATE webhook_deliveries SET attempt = 1, failures = 1;
UPDATE webhook_endpoints SET failing_since = now() - interval '1 hour' WHERE NOT implicit;

-- name: settle(number, outputs, receipt, metrics)$
-- As the worker does it.
SELECT finish_job(job_id, 1, token, 'succeeded', NULL, :outputs, :receipt, :metrics, NULL, NULL)
FROM bench_endings WHERE number = :number;

-- name: settle_all(first, count, outputs, receipt, metrics)$
SELECT count(*) FILTER (WHERE finish_job(job_id, 1, token, 'succeeded', NULL, :outputs, :receipt, :metrics, NULL, NULL))
FROM bench_endings WHERE number BETWEEN :first::bigint AND :first::bigint + :count::bigint - 1;

-- name: completed_at()
SELECT number, completed_at FROM bench_endings JOIN jobs ON jobs.id = job_id WHERE completed_at IS NOT NULL;

-- name: count_deliveries(status)$
SELECT count(*) FROM webhook_deliveries WHERE status = :status;

-- name: sending_seconds()$
-- From the first attempt to the end of the last one, by the database's clock.
SELECT extract(epoch FROM max(ended_at) - min(started_at))::float8 FROM webhook_attempts;

-- name: vacuum()#
VACUUM (ANALYZE) jobs, attempts, webhook_endpoints, webhook_deliveries, webhook_attempts, bench_endings;

-- name: checkpoint()#
-- Writes dirty pages to disk now instead of during a measurement.
CHECKPOINT;
