-- name: read
-- One connection.
SELECT kind, state, key_id, credential, refresh_token, expires_at_epoch_ms
FROM connections
WHERE customer_id = %(customer_id)s AND provider = %(provider)s;

-- name: read_to_change
-- The same, and nobody else changes it before this transaction ends.
SELECT kind, state, key_id, credential, refresh_token, expires_at_epoch_ms
FROM connections
WHERE customer_id = %(customer_id)s AND provider = %(provider)s
FOR UPDATE;

-- name: list
-- All connections, without their secrets.
SELECT customer_id, provider, kind, state, key_id, expires_at_epoch_ms, updated_at_epoch_ms
FROM connections
ORDER BY customer_id, provider;

-- name: put
-- A new connection, or another one in the place of what was there.
INSERT INTO connections (
    customer_id, provider, kind, state, key_id,
    credential, refresh_token, expires_at_epoch_ms, updated_at_epoch_ms
)
VALUES (
    %(customer_id)s, %(provider)s, %(kind)s, 'usable', %(key_id)s,
    %(credential)s, %(refresh_token)s, %(expires_at_epoch_ms)s, %(updated_at_epoch_ms)s
)
ON CONFLICT (customer_id, provider) DO UPDATE SET
    kind = excluded.kind,
    state = excluded.state,
    key_id = excluded.key_id,
    credential = excluded.credential,
    refresh_token = excluded.refresh_token,
    expires_at_epoch_ms = excluded.expires_at_epoch_ms,
    updated_at_epoch_ms = excluded.updated_at_epoch_ms;

-- name: mark_expired
-- The provider refused the refresh token.
UPDATE connections
SET state = 'expired', updated_at_epoch_ms = %(updated_at_epoch_ms)s
WHERE customer_id = %(customer_id)s AND provider = %(provider)s;

-- name: remove
-- One connection, gone.
DELETE FROM connections
WHERE customer_id = %(customer_id)s AND provider = %(provider)s
RETURNING customer_id;
