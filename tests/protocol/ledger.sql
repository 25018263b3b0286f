-- A witness for the tests: every change of a job's state or holder, in order. Nothing in the product reads it.

CREATE TABLE ledger (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id           uuid NOT NULL,
    generation       integer NOT NULL,
    version          integer NOT NULL,
    old_status       text,
    status           text NOT NULL,
    lease_token      uuid,
    cancel_requested boolean NOT NULL                   -- before the change
);

CREATE FUNCTION write_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger (job_id, generation, version, old_status, status, lease_token, cancel_requested)
    VALUES (NEW.id, NEW.generation, NEW.version, OLD.status, NEW.status, NEW.lease_token,
            OLD.cancel_requested_at IS NOT NULL);
    RETURN NULL;
END $$;

CREATE TRIGGER ledger_of_arrivals AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION write_ledger();
CREATE TRIGGER ledger_of_changes AFTER UPDATE ON jobs FOR EACH ROW
    WHEN ((OLD.status, OLD.generation, OLD.lease_token) IS DISTINCT FROM (NEW.status, NEW.generation, NEW.lease_token))
    EXECUTE FUNCTION write_ledger();

CREATE FUNCTION forget_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM ledger WHERE job_id = OLD.id;
    RETURN NULL;
END $$;

CREATE TRIGGER ledger_of_removals AFTER DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION forget_ledger();
