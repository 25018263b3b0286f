-- Failed jobs with dead letters, and what a bulk replay made of them.

-- name: make_tenant()$
INSERT INTO tenants (name) VALUES ('paced') ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id;

-- name: now()$
SELECT now();

-- name: bury(tenant, count)$
-- Queued jobs, which are about to fail. Returns how many.
WITH queued AS (
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, cost)
    SELECT uuidv7(), :tenant, 'tiny',
        '{"prompt": "a lighthouse", "negative_prompt": "", "num_inference_steps": 4, "guidance_scale": 7.5,
          "scheduler": "ddim", "width": 64, "height": 64, "seed": 7, "num_images": 1, "output_format": "png"}',
        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '1 day', now() + interval '1 day', 16384
    FROM generate_series(1, :count::integer)
    RETURNING id
)
SELECT count(*) FROM queued;

-- name: fail(error)$
-- Fail the queued jobs, each with its letter. Returns how many.
SELECT count(finish_job(id, 1, NULL, 'failed', :error)) FROM jobs WHERE status = 'queued' AND generation = 1;

-- name: paced(id, seconds)^
-- What a replay replayed in its first seconds, and its longest pause within them.
WITH items AS (
    SELECT at, at - lag(at) OVER (ORDER BY at) AS pause
    FROM replay_items AS item JOIN replays ON replays.id = replay_id
    WHERE replay_id = :id AND state <> 'pending' AND at < started_at + make_interval(secs => :seconds::float)
)
SELECT count(*) AS items, coalesce(extract(epoch FROM max(pause)), 0)::float AS longest_pause FROM items;

-- name: check(id)^
-- Replayed items, their jobs that have exactly one new generation, and messages that are published or wait to be.
SELECT count(*) AS items, count(*) FILTER (WHERE job.generation = 2 AND job.status = 'queued') AS once,
    count(*) FILTER (WHERE EXISTS (SELECT FROM outbox WHERE job_id = job.id)) AS unpublished
FROM replay_items AS item JOIN jobs AS job ON job.id = item.job_id
WHERE replay_id = :id AND state = 'replayed';
