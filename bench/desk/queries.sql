-- name: rest_triggers()#
ALTER TABLE dead_letters DISABLE TRIGGER USER;

-- name: resume_triggers()#
ALTER TABLE dead_letters ENABLE TRIGGER USER;

-- name: make_tenants(tenants)!
INSERT INTO tenants (name) SELECT 'tenant-' || n FROM generate_series(1, :tenants) AS n ON CONFLICT DO NOTHING;

-- name: add_letters(first, count, total, groups)!
-- Letters of 90 days, in the order of time: of 50 tenants, 40 workers, 4 models and a number of groups, which are as
-- uneven as failures are. Two of three are open.
INSERT INTO dead_letters (id, kind, status, job_id, tenant_id, generation, model, worker, reason, error, fingerprint,
    body, headers, x_death, created_at, resolved_at)
SELECT id, kind, status, gen_random_uuid(), (SELECT id FROM tenants WHERE name = 'tenant-' || 1 + n % 50), 1,
    'model-' || n % 4, CASE kind WHEN 'job' THEN 'gpu-' || 1 + n % 40 END, error ->> 'code', error, error_fingerprint(error),
    convert_to(repeat(md5(n::text), 20), 'UTF8'), '{}', NULL, uuid_extract_timestamp(id),
    CASE WHEN status <> 'open' THEN now() END
FROM (
    SELECT n, uuidv7(((n - :total::integer) * (90 * 86400.0 / :total))::integer * interval '1 second') AS id,
        CASE WHEN n % 20 = 0 THEN 'orphan' ELSE 'job' END AS kind,
        CASE n % 6 WHEN 0 THEN 'discarded' WHEN 1 THEN 'replayed' ELSE 'open' END AS status,
        jsonb_build_object('code', 'pipeline_error', 'retryable', false, 'stage', 'render', 'message', format(
            'RuntimeError: layer %s of block %s failed after %s bytes', chr(97 + failure / 26), chr(97 + failure % 26), n)) AS error
    FROM (
        SELECT n, floor(:groups::integer * power((n::bigint * 7919 % 10007) / 10007.0, 3))::integer AS failure
        FROM generate_series(:first::integer, :first + :count::integer - 1) AS n
    ) AS numbered
) AS made;

-- name: add_groups()!
INSERT INTO dead_letter_groups
    (id, kind, model, reason, fingerprint, sample, open, total, first_seen_at, last_seen_at)
SELECT group_id, min(kind), min(model), min(reason), min(fingerprint), (array_agg(error))[1],
    count(*) FILTER (WHERE status = 'open'), count(*), min(created_at), max(created_at)
FROM dead_letters GROUP BY group_id
ON CONFLICT DO NOTHING;

-- name: add_hours()!
INSERT INTO dead_letter_hours (group_id, hour, opened)
SELECT group_id, date_trunc('hour', created_at), count(*) FROM dead_letters
WHERE created_at > now() - interval '30 days' GROUP BY 1, 2
ON CONFLICT DO NOTHING;

-- name: some_jobs(at_most)
SELECT job_id, tenant_id FROM dead_letters WHERE kind = 'job' AND x_death IS NULL ORDER BY id DESC LIMIT :at_most;

-- name: count_completed()$
SELECT count(*) FROM dead_letters WHERE x_death IS NOT NULL;

-- name: checkpoint()#
-- Writes dirty pages to disk now instead of during a measurement.
CHECKPOINT;
