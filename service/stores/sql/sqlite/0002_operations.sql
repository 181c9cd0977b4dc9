-- The journal: one row per accepted request.
CREATE TABLE operations (
    caller TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    request_id TEXT NOT NULL,
    sequence_id TEXT NOT NULL,
    -- Digests of the request's fields.
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL
    CHECK (state IN ('running', 'succeeded', 'no_effect', 'incomplete', 'in_doubt')),
    -- Each owner has another one: who has an older one changes nothing any more.
    epoch INTEGER NOT NULL UNIQUE,
    -- Whether no other operation may write to the sequence.
    holds_sequence INTEGER NOT NULL CHECK (holds_sequence IN (0, 1)),
    step_id TEXT,
    -- While it runs, the end of its owner's lease; else when to look again. NULL: nothing to do.
    due_at_epoch_ms INTEGER,
    -- When a write was last about to be sent. NULL: never.
    sent_at_epoch_ms INTEGER,
    created_at_epoch_ms INTEGER NOT NULL,
    updated_at_epoch_ms INTEGER NOT NULL,
    -- Which key of the key ring the document is encrypted with.
    key_id TEXT NOT NULL,
    -- All else that is known, encrypted; last, so that the rest is read without it.
    document BLOB NOT NULL,
    PRIMARY KEY (caller, customer_id, provider, request_id),
    CHECK (state <> 'running' OR (holds_sequence = 1 AND due_at_epoch_ms IS NOT NULL))
);

-- One operation at a time holds a sequence.
CREATE UNIQUE INDEX operations_holding_sequence
ON operations (customer_id, provider, sequence_id) WHERE holds_sequence = 1;

-- A step belongs to one operation.
CREATE UNIQUE INDEX operations_step
ON operations (customer_id, provider, sequence_id, step_id) WHERE step_id IS NOT NULL;

CREATE INDEX operations_due
ON operations (due_at_epoch_ms) WHERE due_at_epoch_ms IS NOT NULL;

CREATE INDEX operations_ended
ON operations (state, updated_at_epoch_ms) WHERE holds_sequence = 0;

-- The last epoch that was given; it outlives the rows, so that none is ever given again.
CREATE TABLE epochs (last_epoch INTEGER NOT NULL);
INSERT INTO epochs (last_epoch) VALUES (0);
