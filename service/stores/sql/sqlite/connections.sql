-- name: read
-- One connection.
SELECT kind, state, key_id, credential, refresh_token, expires_at_epoch_ms
FROM connections
WHERE customer_id = :customer_id AND provider = :provider;

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
    :customer_id, :provider, :kind, 'usable', :key_id,
    :credential, :refresh_token, :expires_at_epoch_ms, :updated_at_epoch_ms
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
SET state = 'expired', updated_at_epoch_ms = :updated_at_epoch_ms
WHERE customer_id = :customer_id AND provider = :provider;

-- name: remove
-- One connection, gone.
DELETE FROM connections
WHERE customer_id = :customer_id AND provider = :provider;
