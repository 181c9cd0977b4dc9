-- name: insert
-- A new operation with the next epoch, unless its key is known or its sequence is held.
INSERT INTO operations (
    caller, customer_id, provider, request_id, sequence_id, fingerprint,
    state, epoch, holds_sequence, due_at_epoch_ms,
    created_at_epoch_ms, updated_at_epoch_ms, key_id, document
)
SELECT
    %(caller)s, %(customer_id)s, %(provider)s, %(request_id)s, %(sequence_id)s, %(fingerprint)s,
    'running', nextval('operation_epochs'), true, now.epoch_ms + %(due_after_ms)s,
    now.epoch_ms, now.epoch_ms, %(key_id)s, %(document)s
FROM (SELECT now_epoch_ms() AS epoch_ms) AS now
ON CONFLICT DO NOTHING
RETURNING epoch, created_at_epoch_ms;

-- name: next_epoch
-- Give an epoch away, for good.
SELECT nextval('operation_epochs');

-- name: read
-- One operation.
SELECT
    caller, customer_id, provider, request_id, sequence_id, fingerprint,
    state, epoch, holds_sequence, step_id, due_at_epoch_ms, sent_at_epoch_ms,
    created_at_epoch_ms, updated_at_epoch_ms, key_id, document
FROM operations
WHERE caller = %(caller)s AND customer_id = %(customer_id)s AND provider = %(provider)s
    AND request_id = %(request_id)s;

-- name: read_to_change
-- The same, and nobody else changes it before this transaction ends.
SELECT
    caller, customer_id, provider, request_id, sequence_id, fingerprint,
    state, epoch, holds_sequence, step_id, due_at_epoch_ms, sent_at_epoch_ms,
    created_at_epoch_ms, updated_at_epoch_ms, key_id, document
FROM operations
WHERE caller = %(caller)s AND customer_id = %(customer_id)s AND provider = %(provider)s
    AND request_id = %(request_id)s
FOR UPDATE;

-- name: now
-- The time, as of now.
SELECT now_epoch_ms();

-- name: holder
-- The other operation that holds a sequence.
SELECT caller, request_id, epoch, state, due_at_epoch_ms, sent_at_epoch_ms
FROM operations
WHERE holds_sequence AND customer_id = %(customer_id)s AND provider = %(provider)s
    AND sequence_id = %(sequence_id)s
    AND NOT (caller = %(caller)s AND request_id = %(request_id)s);

-- name: update
-- What is known of an operation now, by who had it in this epoch and no other. Only a new owner
-- changes what has ended.
UPDATE operations SET
    state = %(state)s,
    epoch = %(epoch)s,
    holds_sequence = %(holds_sequence)s,
    step_id = %(step_id)s,
    due_at_epoch_ms = now.epoch_ms + %(due_after_ms)s::bigint,
    sent_at_epoch_ms = CASE
        WHEN %(is_sending)s THEN now.epoch_ms ELSE %(sent_at_epoch_ms)s::bigint
    END,
    updated_at_epoch_ms = now.epoch_ms,
    key_id = %(key_id)s,
    document = %(document)s
FROM (SELECT now_epoch_ms() AS epoch_ms) AS now
WHERE caller = %(caller)s AND customer_id = %(customer_id)s AND provider = %(provider)s
    AND request_id = %(request_id)s
    AND epoch = %(known_epoch)s AND state IN (%(known_state)s, %(state)s)
RETURNING updated_at_epoch_ms;

-- name: delete
-- An operation of which nothing was ever sent.
DELETE FROM operations
WHERE caller = %(caller)s AND customer_id = %(customer_id)s AND provider = %(provider)s
    AND request_id = %(request_id)s AND epoch = %(epoch)s AND sent_at_epoch_ms IS NULL
RETURNING epoch;

-- name: renew
-- New leases for operations that run, or that succeeded and are being looked at again. One that
-- somebody changes just now is passed over: its owner gets a lease by that, or loses it.
WITH owned AS (
    SELECT caller, customer_id, provider, request_id
    FROM operations
    JOIN unnest(
        %(callers)s::text [], %(customer_ids)s::text [], %(providers)s::text [],
        %(request_ids)s::text [], %(epochs)s::bigint [], %(states)s::text []
    ) AS known (caller, customer_id, provider, request_id, epoch, known_state)
    USING (caller, customer_id, provider, request_id, epoch)
    WHERE
        state = 'running'
        OR (state = 'succeeded' AND known_state = 'succeeded' AND due_at_epoch_ms IS NOT NULL)
    FOR UPDATE OF operations SKIP LOCKED
)
UPDATE operations SET due_at_epoch_ms = now_epoch_ms() + %(lease_ms)s
FROM owned
WHERE operations.caller = owned.caller AND operations.customer_id = owned.customer_id
    AND operations.provider = owned.provider AND operations.request_id = owned.request_id;

-- name: due
-- What has to be looked after, longest first.
SELECT caller, customer_id, provider, request_id, epoch
FROM operations
WHERE due_at_epoch_ms <= (SELECT now_epoch_ms())
ORDER BY due_at_epoch_ms, epoch
LIMIT %(limit)s;

-- name: steps_of_others
-- The steps on a sequence that other operations made.
SELECT step_id
FROM operations
WHERE customer_id = %(customer_id)s AND provider = %(provider)s AND sequence_id = %(sequence_id)s
    AND step_id IS NOT NULL
    AND NOT (caller = %(caller)s AND request_id = %(request_id)s);

-- name: forget
-- Delete some of what ended long ago, and nobody changes just now.
DELETE FROM operations
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM operations
    WHERE NOT holds_sequence
        AND (
            state IN ('succeeded', 'no_effect')
            AND updated_at_epoch_ms <= (SELECT now_epoch_ms()) - %(finished_before_ms)s::bigint
            OR state IN ('incomplete', 'in_doubt')
            AND updated_at_epoch_ms <= (SELECT now_epoch_ms()) - %(open_before_ms)s::bigint
        )
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
))
RETURNING epoch;

-- name: list
-- Operations for people, the last changed first; NULL stands for any, and for no limit.
SELECT
    caller, customer_id, provider, request_id, sequence_id, fingerprint,
    state, epoch, holds_sequence, step_id, due_at_epoch_ms, sent_at_epoch_ms,
    created_at_epoch_ms, updated_at_epoch_ms, key_id, document
FROM operations
WHERE (%(customer_id)s::text IS NULL OR customer_id = %(customer_id)s)
    AND (%(provider)s::text IS NULL OR provider = %(provider)s)
    AND (%(request_id)s::text IS NULL OR request_id = %(request_id)s)
    AND (NOT %(only_unsettled)s OR state IN ('incomplete', 'in_doubt', 'running'))
ORDER BY updated_at_epoch_ms DESC, epoch DESC
LIMIT %(limit)s;

-- name: unsettled
-- How many are not settled, by state, and by whether the service looks after them by itself.
SELECT state, due_at_epoch_ms IS NOT NULL, count(*), min(created_at_epoch_ms)
FROM (
    SELECT state, due_at_epoch_ms, created_at_epoch_ms
    FROM operations
    WHERE holds_sequence
    UNION ALL
    SELECT state, due_at_epoch_ms, created_at_epoch_ms
    FROM operations
    WHERE NOT holds_sequence AND state IN ('incomplete', 'in_doubt')
) AS unsettled
WHERE state <> 'succeeded'
GROUP BY 1, 2;
