-- The foundation: instance, keys, jobs and their protocol, outbox, sessions, attempts, deliveries, dead letters.

-- This very database. `id` travels in every message, so that a worker pointed at another database notices; a restored
-- backup keeps it. Ids of jobs older than `purged_before` name jobs that retention removed: nothing brings them back.
CREATE TABLE instance (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id            uuid NOT NULL DEFAULT gen_random_uuid(),
    purged_before timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO instance DEFAULT VALUES;

CREATE TABLE tenants (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id          text PRIMARY KEY,                       -- the public part of dk_<scope>_<id>_<secret><checksum>
    tenant_id   uuid NOT NULL REFERENCES tenants,
    scope       text NOT NULL CHECK (scope IN ('client', 'operator')),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),  -- SHA-256; the secret is never stored
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);

CREATE TABLE jobs (
    id                  uuid PRIMARY KEY,               -- UUIDv7, made by the gateway
    tenant_id           uuid NOT NULL REFERENCES tenants,  -- not indexed: tenants are never deleted
    key_id              text,                           -- the API key that submitted it
    user_id             text,                           -- the tenant's own end user, where the request names one
    model               text NOT NULL,                  -- as submitted, like input: neither ever changes
    input               jsonb NOT NULL,                 -- contracts.api.JobInput
    overrides           jsonb,                          -- an operator's edit: {"model": ..., "input": {...}}
    queue               text GENERATED ALWAYS AS (coalesce(overrides ->> 'model', model)) STORED,
                                                        -- the model whose workers render it
    metadata            jsonb NOT NULL DEFAULT '{}',
    webhook_url         text,
    webhook_events      text[] NOT NULL DEFAULT '{}',
    traceparent         text NOT NULL,
    retried_from        uuid,
    idempotency_key     text,
    priority            smallint NOT NULL DEFAULT 0,    -- recorded and carried; nothing orders by it yet
    cost                bigint NOT NULL DEFAULT 0 CHECK (cost >= 0),   -- pixel steps: width x height x steps x images

    status              text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'canceled', 'expired')),
    version             integer NOT NULL DEFAULT 1,     -- rises with every state change
    generation          integer NOT NULL DEFAULT 1 CHECK (generation >= 1),   -- rises with every replay
    attempt             integer NOT NULL DEFAULT 0,     -- starts again with every generation
    max_attempts        integer NOT NULL DEFAULT 4 CHECK (max_attempts >= 1),
    refunds             smallint NOT NULL DEFAULT 0     -- attempts given back though their worker lost them
        CHECK (refunds BETWEEN 0 AND 3),

    ttl                 interval NOT NULL,              -- bounds waiting
    deadline            interval,                       -- bounds waiting and rendering
    created_at          timestamptz NOT NULL DEFAULT now(),
    queued_at           timestamptz NOT NULL DEFAULT now(),
    started_at          timestamptz,                    -- of the latest attempt
    completed_at        timestamptz,
    expires_at          timestamptz NOT NULL,           -- ttl after the generation's beginning
    deadline_at         timestamptz,                    -- deadline after the generation's beginning
    next_attempt_at     timestamptz,                    -- a retry waits until then
    announced_at        timestamptz NOT NULL DEFAULT now(),  -- when its newest message reached the queue, at the latest
    cancel_requested_at timestamptz,
    deleted_at          timestamptz,                    -- a tombstone: input, metadata and addresses are redacted

    worker              text,                           -- who holds, or last held, the lease
    session_id          uuid,                           -- and in which of its lives: worker_sessions
    lease_token         uuid,
    lease_expires_at    timestamptz,
    step                integer,                        -- null until the attempt's render has begun
    steps               integer,

    error               jsonb,                          -- contracts.api.JobError; of the latest failed attempt
    outputs             jsonb,
    outputs_removed_at  timestamptz,                    -- retention removed the pictures, and emptied `outputs`
    receipt             jsonb,                          -- contracts.api.Receipt
    metrics             jsonb,
    dead_lettered       boolean NOT NULL DEFAULT false,

    CONSTRAINT attempts_are_bounded CHECK (attempt BETWEEN 0 AND max_attempts),
    CONSTRAINT running_means_leased CHECK (
        (status = 'running') = (lease_token IS NOT NULL) AND (lease_token IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT running_has_begun CHECK (
        status <> 'running' OR (attempt >= 1 AND started_at IS NOT NULL AND worker IS NOT NULL)),
    CONSTRAINT terminal_means_completed CHECK (
        (status IN ('succeeded', 'failed', 'canceled', 'expired')) = (completed_at IS NOT NULL)),
    CONSTRAINT success_has_outputs CHECK ((status = 'succeeded') = (outputs IS NOT NULL)),
    CONSTRAINT only_outputs_are_removed CHECK (
        outputs_removed_at IS NULL OR outputs IS NOT DISTINCT FROM '[]'),
    CONSTRAINT success_has_no_error CHECK (status <> 'succeeded' OR error IS NULL),
    CONSTRAINT failure_has_a_reason CHECK (status <> 'failed' OR error IS NOT NULL),
    CONSTRAINT dead_lettered_means_failed CHECK (NOT dead_lettered OR status = 'failed'),
    CONSTRAINT only_the_queued_wait CHECK (next_attempt_at IS NULL OR status = 'queued'),
    CONSTRAINT the_queued_are_not_canceled CHECK (cancel_requested_at IS NULL OR status <> 'queued'),
    CONSTRAINT only_the_finished_are_deleted CHECK (deleted_at IS NULL OR completed_at IS NOT NULL),
    CONSTRAINT deadline_has_its_time CHECK ((deadline IS NULL) = (deadline_at IS NULL))
);
-- No index holds a column that a heartbeat writes, and each page keeps room for its rows' next versions: heartbeats are
-- HOT updates, which touch no index.
ALTER TABLE jobs SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX jobs_waiting ON jobs (queue, queued_at, id) WHERE status = 'queued';
CREATE INDEX jobs_announced ON jobs (queue, announced_at) WHERE status = 'queued';
CREATE INDEX jobs_expiring ON jobs (least(expires_at, deadline_at)) WHERE status = 'queued';
CREATE INDEX jobs_held ON jobs (worker) WHERE status = 'running';
CREATE INDEX jobs_finished ON jobs (queue, completed_at DESC) WHERE status = 'succeeded' AND outputs_removed_at IS NULL;

CREATE TABLE idempotency_keys (
    tenant_id   uuid NOT NULL,
    key         text NOT NULL,
    body_hash   bytea NOT NULL,                         -- SHA-256 of the request's body
    job_id      uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Messages to publish. Taken by SKIP LOCKED and deleted when confirmed: an outbox read by id would lose rows, since
-- sequence order is not commit order. The relay builds each message from its job's row.
CREATE TABLE outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id       uuid NOT NULL,
    generation   integer NOT NULL,
    model        text NOT NULL,                         -- whose queue it is for: jobs.queue
    lane         text,                                  -- the retry lane to wait in; null goes to work at once
    destination  text GENERATED ALWAYS AS (coalesce('lane ' || lane, model)) STORED,  -- the queue that must confirm it
    failures     integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),    -- the message's stamped_at
    available_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_once UNIQUE (job_id, generation)
);
CREATE INDEX outbox_due ON outbox (destination, available_at, id);
ALTER TABLE outbox SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- A model whose workers finish what they hold and take nothing new. Its jobs are accepted and wait.
CREATE TABLE paused_models (
    model     text PRIMARY KEY,
    paused_at timestamptz NOT NULL DEFAULT now(),
    paused_by text NOT NULL,
    reason    text NOT NULL
);

-- One life of a worker, with what it renders on. Kept as long as the attempts that name it.
CREATE TABLE worker_sessions (
    id              uuid PRIMARY KEY,
    worker          text NOT NULL,
    model           text NOT NULL,
    device          text,                               -- known once the model is warm, like the next three
    gpu_id          text,
    model_revision  text,
    versions        jsonb,
    started_at      timestamptz NOT NULL DEFAULT now(),
    last_beat_at    timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    empty_at        timestamptz,                        -- when it asked its queue and was answered "empty" ...
    empty_before_at timestamptz                         -- ... and the time before that
);
CREATE INDEX worker_sessions_open ON worker_sessions (worker) WHERE ended_at IS NULL;
CREATE INDEX worker_sessions_ended ON worker_sessions (ended_at) WHERE ended_at IS NOT NULL;
ALTER TABLE worker_sessions SET (fillfactor = 50);

-- One row per claim. A released attempt is refunded, so (generation, attempt) may repeat: the lease token names it.
CREATE TABLE attempts (
    lease_token uuid PRIMARY KEY,
    job_id      uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    generation  integer NOT NULL,
    attempt     integer NOT NULL,
    worker      text NOT NULL,
    session_id  uuid,                                   -- worker_sessions
    stamped_at  timestamptz,                            -- of the message that it was claimed by
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    outcome     text CHECK (outcome IN ('succeeded', 'failed', 'canceled', 'expired', 'retried', 'released', 'lost')),
    refunded    boolean NOT NULL DEFAULT false,         -- it does not count in jobs.attempt
    error       jsonb,
    CONSTRAINT ended_means_outcome CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX attempts_of_job ON attempts (job_id, started_at);
CREATE INDEX attempts_by_time ON attempts (started_at);

CREATE TABLE webhook_deliveries (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    job_id          uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    event           text NOT NULL,
    job_version     integer NOT NULL,
    url             text NOT NULL,
    payload         jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz DEFAULT now(),          -- null once nothing more will be sent
    UNIQUE (job_id, job_version)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (created_at) WHERE next_attempt_at IS NULL;

-- Jobs whose objects are to be looked through: all of a deleted job go, and those of a finished one that its outputs
-- don't list, which lost attempts left behind.
CREATE TABLE object_sweeps (
    job_id      uuid PRIMARY KEY,
    due_at      timestamptz NOT NULL,
    empty_since timestamptz                             -- a deleted job's: nothing was found since
);
CREATE INDEX object_sweeps_due ON object_sweeps (due_at);

CREATE TABLE dead_letters (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind        text NOT NULL CHECK (kind IN ('job', 'undecodable', 'orphan')),
                                                        -- orphan: a message whose job this database does not know
    status      text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'replaying', 'replayed', 'discarded')),
    job_id      uuid,                                   -- no foreign key: letters outlive jobs, and orphans have none
    tenant_id   uuid,
    generation  integer,
    model       text,
    reason      text NOT NULL,                          -- contracts.errors.JobErrorCode
    error       jsonb NOT NULL,                         -- contracts.api.JobError
    fingerprint text NOT NULL,                          -- equal for failures of one kind
    body        bytea,                                  -- the message's exact bytes, where one was at hand
    headers     jsonb,
    x_death     jsonb,                                  -- what the broker recorded; completed by the ingest
    body_sha256 bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    CONSTRAINT a_job_s_letter_names_it CHECK (
        kind NOT IN ('job', 'orphan') OR (job_id IS NOT NULL AND generation IS NOT NULL AND model IS NOT NULL)),
    CONSTRAINT an_undecodable_letter_has_bytes CHECK (kind <> 'undecodable' OR (body IS NOT NULL AND body_sha256 IS NOT NULL)),
    CONSTRAINT an_orphan_has_bytes CHECK (kind <> 'orphan' OR body IS NOT NULL),
    CONSTRAINT resolved_means_closed CHECK ((status IN ('replayed', 'discarded')) = (resolved_at IS NOT NULL))
);
CREATE UNIQUE INDEX dead_letters_once_per_generation ON dead_letters (job_id, generation) WHERE kind = 'job';
CREATE UNIQUE INDEX dead_letters_once_per_orphan ON dead_letters (job_id, generation) WHERE kind = 'orphan';
CREATE UNIQUE INDEX dead_letters_once_per_body ON dead_letters (body_sha256) WHERE kind = 'undecodable';
CREATE INDEX dead_letters_newest ON dead_letters (created_at DESC, id);
CREATE INDEX dead_letters_open ON dead_letters (created_at DESC, id) WHERE status = 'open';
CREATE INDEX dead_letters_resolved ON dead_letters (resolved_at) WHERE resolved_at IS NOT NULL;

CREATE TABLE audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor      text NOT NULL,
    action     text NOT NULL,
    subject    uuid NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);

-- The transition table of contracts.states, enforced for whoever writes.
CREATE FUNCTION jobs_guard_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.status, NEW.status) NOT IN (
        ('queued', 'running'), ('queued', 'failed'), ('queued', 'canceled'), ('queued', 'expired'),
        ('running', 'queued'), ('running', 'succeeded'), ('running', 'failed'), ('running', 'canceled'),
        ('running', 'expired'),
        ('failed', 'queued')
    ) THEN
        RAISE EXCEPTION 'job % may not go from % to %', OLD.id, OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER jobs_guard_transition BEFORE UPDATE OF status ON jobs
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION jobs_guard_transition();

-- Ask the relay to publish a queued job's message, once while a row waits. Waits for a relay that holds the row:
-- leaving it be would leave no row at all, just before that relay deletes it.
CREATE FUNCTION enqueue_message(job jobs, lane text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO outbox (job_id, generation, model, lane, created_at, available_at)
    VALUES (job.id, job.generation, job.queue, lane, clock_timestamp(), clock_timestamp())
    ON CONFLICT ON CONSTRAINT outbox_once DO UPDATE SET
        model = excluded.model, lane = excluded.lane, failures = 0,
        created_at = excluded.created_at, available_at = excluded.available_at;
$$;

-- What is to be rendered: the input as submitted, under an operator's edits.
CREATE FUNCTION merged_input(job jobs) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT job.input || coalesce(job.overrides -> 'input', '{}');
$$;

-- Whether retention removed all jobs of that age: no such job means then that it was purged, not lost.
CREATE FUNCTION is_purged(job_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(uuid_extract_timestamp(job_id) < purged_before, false) FROM instance;
$$;

-- The channel on which a worker hears that a job of its own is to be canceled. Names are longer than channels may be.
CREATE FUNCTION cancel_channel(worker text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT 'darkroom_cancel_' || md5(worker);
$$;

-- Write the delivery row of an event that the job's submitter asked for.
CREATE FUNCTION record_delivery(job jobs, event text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO webhook_deliveries (job_id, event, job_version, url, payload)
    SELECT job.id, event, job.version, job.webhook_url, jsonb_build_object(
        'type', event, 'timestamp', now(), 'data', jsonb_build_object(
            'id', job.id, 'status', job.status, 'model', job.model, 'generation', job.generation,
            'attempt', job.attempt, 'error', job.error, 'metadata', job.metadata,
            'created_at', job.created_at, 'completed_at', job.completed_at))
    WHERE job.webhook_url IS NOT NULL AND event = ANY (job.webhook_events);
$$;

-- Failures of one kind share a fingerprint: the code, the stage and the message without its numbers and ids.
CREATE FUNCTION error_fingerprint(error jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT md5(concat_ws('|', error ->> 'code', error ->> 'stage',
        regexp_replace(error ->> 'message', '[0-9a-fA-F]{8}[0-9a-fA-F-]*|[0-9]+', '#', 'g')));
$$;

-- Every terminal transition, whoever makes it. A holder passes its lease token and must still hold the job; without a
-- token the job must be queued in the given generation. Writes the attempt's end, the webhook delivery and, for a
-- failed job, its dead letter. Returns whether the guard held; if not, nothing was written.
CREATE FUNCTION finish_job(
    the_job uuid, the_generation integer, the_token uuid, the_status text,
    the_error jsonb DEFAULT NULL, the_outputs jsonb DEFAULT NULL, the_receipt jsonb DEFAULT NULL,
    the_metrics jsonb DEFAULT NULL, the_body bytea DEFAULT NULL, the_headers jsonb DEFAULT NULL,
    the_outcome text DEFAULT NULL
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    job jobs;
BEGIN
    UPDATE jobs SET
        status = the_status, completed_at = clock_timestamp(), dead_lettered = (the_status = 'failed'),
        lease_token = NULL, lease_expires_at = NULL, next_attempt_at = NULL,
        error = CASE the_status WHEN 'succeeded' THEN NULL ELSE coalesce(the_error, error) END,
        outputs = the_outputs, receipt = the_receipt, metrics = the_metrics
    WHERE id = the_job AND generation = the_generation AND CASE
        WHEN the_token IS NULL THEN status = 'queued'
        ELSE status = 'running' AND lease_token = the_token
    END
    RETURNING * INTO job;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    UPDATE attempts SET ended_at = clock_timestamp(), outcome = coalesce(the_outcome, the_status), error = the_error
    WHERE lease_token = the_token;
    -- A worker that lost the job may upload for a while yet.
    INSERT INTO object_sweeps (job_id, due_at)
    SELECT job.id, clock_timestamp() + interval '1 hour'
    WHERE (SELECT count(*) FROM attempts WHERE job_id = job.id) > 1
    ON CONFLICT (job_id) DO UPDATE SET due_at = excluded.due_at;
    PERFORM record_delivery(job, 'job.' || job.status);
    IF job.status = 'failed' THEN
        INSERT INTO dead_letters
            (kind, job_id, tenant_id, generation, model, reason, error, fingerprint, body, headers)
        VALUES ('job', job.id, job.tenant_id, job.generation, job.model,
            job.error ->> 'code', job.error, error_fingerprint(job.error), the_body, the_headers);
    END IF;
    UPDATE dead_letters SET status = 'replayed', resolved_at = clock_timestamp()
    WHERE job_id = job.id AND kind IN ('job', 'orphan') AND generation < job.generation AND status = 'replaying';
    RETURN true;
END $$;

-- A holder gives its job back unfinished. A wanted cancel wins; then the deadline and the attempts decide: queued again
-- (waiting in a lane where one is named), or at its end. `the_outcome` says why: 'retried' and 'lost' spend the attempt,
-- 'released' refunds it. A lost attempt whose render had not begun is refunded too, three times a job at the most.
-- Returns the status that the job came to, or null when the caller no longer holds it.
CREATE FUNCTION return_job(
    the_job uuid, the_token uuid, the_outcome text, the_error jsonb DEFAULT NULL,
    the_lane text DEFAULT NULL, the_delay interval DEFAULT NULL,
    the_body bytea DEFAULT NULL, the_headers jsonb DEFAULT NULL
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    job jobs;
    due timestamptz;
    refund boolean;
    final text;
    final_error jsonb := the_error;
BEGIN
    SELECT * INTO job FROM jobs WHERE id = the_job AND status = 'running' AND lease_token = the_token FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    due := clock_timestamp() + coalesce(the_delay, '0');
    refund := the_outcome = 'released' OR (the_outcome = 'lost' AND job.step IS NULL AND job.refunds < 3);
    final := CASE
        WHEN job.cancel_requested_at IS NOT NULL THEN 'canceled'
        WHEN the_outcome = 'lost' AND job.expires_at <= due THEN 'expired'
        WHEN the_outcome = 'lost' AND job.deadline_at <= due THEN 'expired'
        WHEN NOT refund AND job.attempt >= job.max_attempts THEN 'failed'
        WHEN the_outcome = 'retried' AND job.deadline_at <= due THEN 'expired'
    END;
    IF final IS NOT NULL THEN
        IF final = 'expired' AND job.deadline_at <= due THEN
            final_error := deadline_error();
        END IF;
        PERFORM finish_job(job.id, job.generation, the_token, final, final_error, the_body => the_body,
            the_headers => the_headers, the_outcome => CASE the_outcome WHEN 'lost' THEN 'lost' ELSE final END);
        UPDATE attempts SET error = the_error WHERE lease_token = the_token AND final = 'expired';
        RETURN final;
    END IF;

    UPDATE jobs SET
        status = 'queued', queued_at = clock_timestamp(), lease_token = NULL, lease_expires_at = NULL,
        step = NULL, steps = NULL,
        attempt = attempt - refund::integer, refunds = refunds + (refund AND the_outcome = 'lost')::integer,
        error = coalesce(the_error, error), next_attempt_at = CASE WHEN the_delay IS NOT NULL THEN due END,
        announced_at = due
    WHERE id = job.id
    RETURNING * INTO job;
    UPDATE attempts SET ended_at = clock_timestamp(), outcome = the_outcome, error = the_error, refunded = refund
    WHERE lease_token = the_token;
    PERFORM enqueue_message(job, the_lane);
    RETURN 'queued';
END $$;

-- Refund attempts that failed because of the GPU they ran on, each as long as its job waits or runs in the same
-- generation, three times a job at the most. Returns how many were refunded.
CREATE FUNCTION refund_attempts(the_tokens uuid[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    failed record;
    refunds_made integer := 0;
BEGIN
    FOR failed IN
        SELECT lease_token, job_id, generation FROM attempts
        WHERE lease_token = ANY (the_tokens) AND outcome = 'retried' AND NOT refunded
        ORDER BY job_id, started_at
    LOOP
        UPDATE jobs SET attempt = attempt - 1, refunds = refunds + 1
        WHERE id = failed.job_id AND generation = failed.generation AND status IN ('queued', 'running') AND refunds < 3;
        IF FOUND THEN
            UPDATE attempts SET refunded = true WHERE lease_token = failed.lease_token;
            refunds_made := refunds_made + 1;
        END IF;
    END LOOP;
    RETURN refunds_made;
END $$;

-- What a job's record says when its deadline passed before it was rendered: contracts.api.JobError.
CREATE FUNCTION deadline_error() RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('code', 'deadline_exceeded', 'retryable', true, 'stage', 'queue', 'message',
        'The job was not rendered within its deadline_seconds.');
$$;

-- Return the jobs whose lease ran out or, given a worker's name, all that it holds: whoever calls vouches that the
-- worker of that name is gone. Several callers may run at once. Each job is a subtransaction, and waits briefly for
-- its locks: one that somebody holds on to is passed over, and stops the rescue of no other. The order is random, so
-- that those passed over don't head every batch. Returns how many jobs were returned.
CREATE FUNCTION reap_jobs(the_worker text DEFAULT NULL, at_most integer DEFAULT 100)
RETURNS integer LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    held record;
    reaped integer := 0;
    last_call timestamptz := clock_timestamp() + interval '5 seconds';
BEGIN
    FOR held IN
        SELECT id, lease_token, worker, attempt FROM jobs
        WHERE status = 'running' AND CASE WHEN the_worker IS NULL THEN lease_expires_at < now() ELSE worker = the_worker END
        ORDER BY random() LIMIT at_most
    LOOP
        EXIT WHEN clock_timestamp() > last_call;
        BEGIN
            PERFORM FROM jobs
            WHERE id = held.id AND status = 'running' AND lease_token = held.lease_token
                AND (the_worker IS NOT NULL OR lease_expires_at < now())
            FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                PERFORM return_job(held.id, held.lease_token, 'lost', jsonb_build_object(
                    'code', 'worker_lost', 'retryable', true, 'stage', 'render', 'message',
                    format('Worker %s was lost during attempt %s.', held.worker, held.attempt)));
                reaped := reaped + 1;
            END IF;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            NULL;
        END;
    END LOOP;
    RETURN reaped;
END $$;
