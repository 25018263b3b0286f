-- Ingest

-- name: fail_undeliverable(job_id, generation, error, body, headers)$
-- False unless the job is queued in that generation.
SELECT finish_job(:job_id, :generation, NULL, 'failed', :error, the_body => :body, the_headers => :headers);

-- name: attach_x_death(job_id, generation, x_death)$
UPDATE dead_letters SET x_death = coalesce(x_death, :x_death)
WHERE kind = 'job' AND job_id = :job_id AND generation = :generation
RETURNING id;

-- name: is_unknown(job_id)$
-- Whether the job does not exist and was not purged.
SELECT NOT is_purged(:job_id) AND NOT EXISTS (SELECT FROM jobs WHERE id = :job_id);

-- name: insert_orphan(job_id, tenant_id, generation, model, error, body, headers, x_death)$
-- Null if the job exists or was purged, or if the same orphan is recorded already.
INSERT INTO dead_letters (kind, job_id, tenant_id, generation, model, reason, error, fingerprint, body, headers, x_death)
SELECT 'orphan', :job_id, (SELECT id FROM tenants WHERE id = :tenant_id), :generation, :model,
    :error::jsonb ->> 'code', :error, error_fingerprint(:error), :body, :headers, :x_death
WHERE NOT is_purged(:job_id) AND NOT EXISTS (SELECT FROM jobs WHERE id = :job_id)
ON CONFLICT (job_id, generation, kind) WHERE kind IN ('job', 'orphan') DO NOTHING
RETURNING id;

-- name: insert_undecodable(error, body, headers, x_death)$
-- Null if the same bytes are recorded already.
INSERT INTO dead_letters (kind, reason, error, fingerprint, body, body_sha256, headers, x_death)
VALUES ('undecodable', :error::jsonb ->> 'code', :error, error_fingerprint(:error), :body, sha256(:body), :headers, :x_death)
ON CONFLICT (body_sha256) WHERE kind = 'undecodable' DO NOTHING
RETURNING id;

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
