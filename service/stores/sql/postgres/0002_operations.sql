-- The journal: one row per accepted request.
CREATE TABLE operations (
    caller text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    sequence_id text COLLATE "C" NOT NULL,
    -- Digests of the request's fields.
    fingerprint text NOT NULL,
    state text NOT NULL
    CHECK (state IN ('running', 'succeeded', 'no_effect', 'incomplete', 'in_doubt')),
    -- Each owner has another one: who has an older one changes nothing any more.
    epoch bigint NOT NULL,
    -- Whether no other operation may write to the sequence.
    holds_sequence boolean NOT NULL,
    step_id text COLLATE "C",
    -- While it runs, the end of its owner's lease; else when to look again. NULL: nothing to do.
    due_at_epoch_ms bigint,
    -- When a write was last about to be sent. NULL: never.
    sent_at_epoch_ms bigint,
    created_at_epoch_ms bigint NOT NULL,
    updated_at_epoch_ms bigint NOT NULL,
    -- Which key of the key ring the document is encrypted with.
    key_id text NOT NULL,
    -- All else that is known, encrypted.
    document bytea NOT NULL,
    PRIMARY KEY (caller, customer_id, provider, request_id),
    CHECK (state <> 'running' OR (holds_sequence AND due_at_epoch_ms IS NOT NULL))
);

-- It is encrypted: to compress it is in vain.
ALTER TABLE operations ALTER COLUMN document SET STORAGE EXTERNAL;

-- One operation at a time holds a sequence.
CREATE UNIQUE INDEX operations_holding_sequence
ON operations (customer_id, provider, sequence_id) WHERE holds_sequence;

-- A step belongs to one operation.
CREATE UNIQUE INDEX operations_step
ON operations (customer_id, provider, sequence_id, step_id) WHERE step_id IS NOT NULL;

CREATE INDEX operations_due
ON operations (due_at_epoch_ms) WHERE due_at_epoch_ms IS NOT NULL;

CREATE INDEX operations_ended
ON operations (state, updated_at_epoch_ms) WHERE NOT holds_sequence;

-- Gives no epoch twice, whatever becomes of the rows.
CREATE SEQUENCE operation_epochs;

-- The time that leases and everything else in the journal go by.
CREATE FUNCTION now_epoch_ms() RETURNS bigint LANGUAGE sql VOLATILE
RETURN (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint;
