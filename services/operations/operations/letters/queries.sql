-- Ingest. What a message says of its tenant must be true: a forged one changes nothing of another tenant's job.

-- name: fail_undeliverable(job_id, generation, tenant_id, instance_id, error, body, headers)$
-- False unless the job is queued in that generation, and the tenant and the instance are its own.
SELECT CASE WHEN EXISTS (SELECT FROM jobs WHERE id = :job_id AND tenant_id = :tenant_id)
        AND EXISTS (SELECT FROM instance WHERE id = :instance_id)
    THEN finish_job(:job_id, :generation, NULL, 'failed', :error, the_body => :body, the_headers => :headers)
    ELSE false
END;

-- name: attach_x_deaths(numbers, job_ids, generations, tenant_ids, bodies, headers)
-- Returns the numbers of the messages whose jobs have a letter. A letter keeps the first record that it gets. A message
-- without a tenant must be the very message that the letter holds.
WITH found AS (
    SELECT number, letter.id, nullif(headers -> 'x-death', 'null') AS x_death
    FROM unnest(:numbers::integer[], :job_ids::uuid[], :generations::integer[], :tenant_ids::uuid[], :bodies::bytea[],
        :headers::jsonb[]) AS dead (number, job_id, generation, tenant_id, body, headers)
    CROSS JOIN LATERAL (
        SELECT id FROM dead_letters AS letter
        WHERE kind = 'job' AND job_id = dead.job_id AND generation = dead.generation
            AND CASE WHEN dead.tenant_id IS NULL THEN letter.body = dead.body ELSE tenant_id = dead.tenant_id END
        OFFSET 0
    ) AS letter
), completed AS (
    UPDATE dead_letters AS letter SET x_death = found.x_death FROM found
    WHERE letter.id = found.id AND letter.x_death IS NULL
)
SELECT number FROM found;

-- name: tenants_of(job_ids)
-- The tenants of jobs, as far as these or their letters exist.
SELECT id AS job_id, tenant_id FROM jobs WHERE id = ANY (:job_ids::uuid[])
UNION
SELECT job_id, tenant_id FROM dead_letters
WHERE kind = 'job' AND job_id = ANY (:job_ids) AND tenant_id IS NOT NULL;

-- name: insert_orphans(error, job_ids, tenant_ids, generations, models, bodies, headers)
-- Returns those that are new: not if the job exists or was purged, nor if the same orphan is recorded already.
INSERT INTO dead_letters
    (kind, job_id, tenant_id, generation, model, reason, error, fingerprint, returns, body, headers, x_death)
SELECT 'orphan', job_id, (SELECT id FROM tenants WHERE id = orphan.tenant_id), generation, model,
    :error::jsonb ->> 'code', :error, error_fingerprint(:error), (
        SELECT count(*) FROM dead_letters AS earlier
        WHERE earlier.job_id = orphan.job_id AND kind IN ('job', 'orphan') AND earlier.generation < orphan.generation),
    body, headers, nullif(headers -> 'x-death', 'null')
FROM unnest(:job_ids::uuid[], :tenant_ids::uuid[], :generations::integer[], :models::text[], :bodies::bytea[],
    :headers::jsonb[]) AS orphan (job_id, tenant_id, generation, model, body, headers)
WHERE NOT is_purged(job_id) AND NOT EXISTS (SELECT FROM jobs WHERE id = orphan.job_id OFFSET 0)
ON CONFLICT (job_id, generation, kind) WHERE kind IN ('job', 'orphan') DO NOTHING
RETURNING job_id, generation;

-- name: insert_undecodable(errors, bodies, headers)
-- Returns the hashes of those bodies that are new.
INSERT INTO dead_letters (kind, reason, error, fingerprint, body, body_sha256, headers, x_death)
SELECT 'undecodable', error ->> 'code', error, error_fingerprint(error), body, sha256(body), headers,
    nullif(headers -> 'x-death', 'null')
FROM unnest(:errors::jsonb[], :bodies::bytea[], :headers::jsonb[]) AS message (error, body, headers)
ON CONFLICT (body_sha256) WHERE kind = 'undecodable' DO NOTHING
RETURNING body_sha256;
