-- Ingest. What a message says of its tenant must be true: a forged one changes nothing of another tenant's job.

-- name: fail_undeliverable(job_id, generation, tenant_id, instance_id, error, body, headers)$
-- False unless the job is queued in that generation, and the tenant and the instance are its own.
SELECT CASE WHEN EXISTS (SELECT FROM jobs WHERE id = :job_id AND tenant_id = :tenant_id)
        AND EXISTS (SELECT FROM instance WHERE id = :instance_id)
    THEN finish_job(:job_id, :generation, NULL, 'failed', :error, the_body => :body, the_headers => :headers)
    ELSE false
END;

-- name: attach_x_deaths(numbers, job_ids, generations, tenant_ids, headers)
-- Returns the numbers of the messages whose jobs have a letter. A letter keeps the first record that it gets.
WITH found AS (
    SELECT number, letter.id, nullif(headers -> 'x-death', 'null') AS x_death
    FROM unnest(:numbers::integer[], :job_ids::uuid[], :generations::integer[], :tenant_ids::uuid[], :headers::jsonb[])
        AS dead (number, job_id, generation, tenant_id, headers)
    CROSS JOIN LATERAL (
        SELECT id FROM dead_letters
        WHERE kind = 'job' AND job_id = dead.job_id AND generation = dead.generation
            AND (dead.tenant_id IS NULL OR tenant_id = dead.tenant_id)
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

-- Inspection

-- name: list_letters(kinds, status, at_most)
-- Each kind is read along an index, so that many letters of one kind don't delay a list of another.
SELECT letter.id, letter.kind, letter.status, tenants.name AS tenant, job_id, generation, delivery_id, model, reason,
    error ->> 'message' AS message, fingerprint, letter.created_at, resolved_at
FROM unnest(:kinds::text[]) AS wanted (kind) CROSS JOIN LATERAL (
    SELECT * FROM dead_letters
    WHERE dead_letters.kind = wanted.kind AND (:status::text IS NULL OR status = :status)
    ORDER BY id DESC LIMIT :at_most
) AS letter LEFT JOIN tenants ON tenants.id = letter.tenant_id
ORDER BY letter.id DESC LIMIT :at_most;

-- name: find_letter(id)^
SELECT letter.id, letter.kind, letter.status, letter.job_id, job.status AS job_status, job.generation AS job_generation,
    tenants.name AS tenant, letter.generation, letter.model, reason, letter.error, fingerprint, body, headers, x_death,
    letter.created_at, resolved_at, delivery_id
FROM dead_letters AS letter
    LEFT JOIN jobs AS job ON job.id = letter.job_id
    LEFT JOIN tenants ON tenants.id = letter.tenant_id
WHERE letter.id = :id;

-- name: list_attempts(job_id)
SELECT generation, attempt, worker, started_at, ended_at, outcome, error
FROM attempts WHERE job_id = :job_id ORDER BY started_at, attempt;

-- name: find_delivery(id)^
SELECT delivery.id, endpoint_id, endpoint.status AS endpoint_status, endpoint.deleted_at IS NOT NULL AS endpoint_deleted,
    event, delivery.url, delivery.status, next_attempt_at, attempt
FROM webhook_deliveries AS delivery LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = endpoint_id
WHERE delivery.id = :id;

-- name: list_delivery_attempts(id, at_most)
-- The latest attempts first. Redeliveries add attempts without a limit.
SELECT number, started_at, ended_at, outcome, status_code, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, error, response
FROM webhook_attempts WHERE delivery_id = :id ORDER BY number DESC LIMIT :at_most;
