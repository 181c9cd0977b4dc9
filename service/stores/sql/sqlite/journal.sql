-- name: insert
-- A new operation with the next epoch, unless its key is known or its sequence is held.
INSERT INTO operations (
    caller, customer_id, provider, request_id, sequence_id, fingerprint,
    state, epoch, holds_sequence, due_at_epoch_ms,
    created_at_epoch_ms, updated_at_epoch_ms, key_id, document
)
VALUES (
    :caller, :customer_id, :provider, :request_id, :sequence_id, :fingerprint,
    'running', (SELECT last_epoch + 1 FROM epochs), 1, :lease_until_epoch_ms,
    :now_epoch_ms, :now_epoch_ms, :key_id, :document
)
ON CONFLICT DO NOTHING
RETURNING epoch;

-- name: next_epoch
-- Give an epoch away, for good.
UPDATE epochs SET last_epoch = last_epoch + 1
RETURNING last_epoch;

-- name: read
-- One operation.
SELECT
    caller, customer_id, provider, request_id, sequence_id, fingerprint,
    state, epoch, holds_sequence, step_id, due_at_epoch_ms, sent_at_epoch_ms,
    created_at_epoch_ms, updated_at_epoch_ms, key_id, document
FROM operations
WHERE caller = :caller AND customer_id = :customer_id AND provider = :provider
    AND request_id = :request_id;

-- name: holder
-- The other operation that holds a sequence.
SELECT caller, request_id, epoch, state, due_at_epoch_ms, sent_at_epoch_ms
FROM operations
WHERE holds_sequence = 1 AND customer_id = :customer_id AND provider = :provider
    AND sequence_id = :sequence_id
    AND NOT (caller = :caller AND request_id = :request_id);

-- name: update
-- What is known of an operation now, by who had it in this epoch and no other. Only a new owner
-- changes what has ended.
UPDATE operations SET
    state = :state,
    epoch = :epoch,
    holds_sequence = :holds_sequence,
    step_id = :step_id,
    due_at_epoch_ms = :due_at_epoch_ms,
    sent_at_epoch_ms = :sent_at_epoch_ms,
    updated_at_epoch_ms = :now_epoch_ms,
    key_id = :key_id,
    document = :document
WHERE caller = :caller AND customer_id = :customer_id AND provider = :provider
    AND request_id = :request_id
    AND epoch = :known_epoch AND state IN (:known_state, :state);

-- name: delete
-- An operation of which nothing was ever sent.
DELETE FROM operations
WHERE caller = :caller AND customer_id = :customer_id AND provider = :provider
    AND request_id = :request_id AND epoch = :epoch AND sent_at_epoch_ms IS NULL;

-- name: renew
-- A new lease for an operation that runs, or that succeeded and is being looked at again.
UPDATE operations SET due_at_epoch_ms = :due_at_epoch_ms
WHERE caller = :caller AND customer_id = :customer_id AND provider = :provider
    AND request_id = :request_id AND epoch = :epoch
    AND (
        state = 'running'
        OR (state = 'succeeded' AND :state = 'succeeded' AND due_at_epoch_ms IS NOT NULL)
    );

-- name: expire_leases
-- Nobody runs anything.
UPDATE operations SET due_at_epoch_ms = :now_epoch_ms
WHERE state = 'running' AND due_at_epoch_ms > :now_epoch_ms;

-- name: due
-- What has to be looked after, longest first.
SELECT caller, customer_id, provider, request_id, epoch
FROM operations
WHERE due_at_epoch_ms <= :now_epoch_ms
ORDER BY due_at_epoch_ms, epoch
LIMIT :limit;

-- name: steps_of_others
-- The steps on a sequence that other operations made.
SELECT step_id
FROM operations
WHERE customer_id = :customer_id AND provider = :provider AND sequence_id = :sequence_id
    AND step_id IS NOT NULL
    AND NOT (caller = :caller AND request_id = :request_id);

-- name: forget
-- Delete some of what ended long ago.
DELETE FROM operations
WHERE rowid IN (
    SELECT rowid
    FROM operations
    WHERE holds_sequence = 0 AND state IN ('succeeded', 'no_effect')
        AND updated_at_epoch_ms <= :finished_until_epoch_ms
    UNION ALL
    SELECT rowid
    FROM operations
    WHERE holds_sequence = 0 AND state IN ('incomplete', 'in_doubt')
        AND updated_at_epoch_ms <= :open_until_epoch_ms
    LIMIT :limit
);

-- name: list
-- Operations for people, the last changed first; NULL stands for any.
SELECT
    caller, customer_id, provider, request_id, sequence_id, fingerprint,
    state, epoch, holds_sequence, step_id, due_at_epoch_ms, sent_at_epoch_ms,
    created_at_epoch_ms, updated_at_epoch_ms, key_id, document
FROM operations
WHERE (:customer_id IS NULL OR customer_id = :customer_id)
    AND (:provider IS NULL OR provider = :provider)
    AND (:request_id IS NULL OR request_id = :request_id)
    AND (NOT :only_unsettled OR state IN ('incomplete', 'in_doubt', 'running'))
ORDER BY updated_at_epoch_ms DESC, epoch DESC
LIMIT :limit;

-- name: unsettled
-- How many are not settled, by state, and by whether the service looks after them by itself.
SELECT state, due_at_epoch_ms IS NOT NULL, count(*), min(created_at_epoch_ms)
FROM (
    SELECT state, due_at_epoch_ms, created_at_epoch_ms
    FROM operations
    WHERE holds_sequence = 1
    UNION ALL
    SELECT state, due_at_epoch_ms, created_at_epoch_ms
    FROM operations
    WHERE holds_sequence = 0 AND state IN ('incomplete', 'in_doubt')
) AS unsettled
WHERE state <> 'succeeded'
GROUP BY 1, 2;
