-- name: connections_after
-- The next connections in the order of their keys.
SELECT customer_id, provider, key_id, credential, refresh_token
FROM connections
WHERE (customer_id, provider) > (%(customer_id)s, %(provider)s)
ORDER BY customer_id, provider
LIMIT %(limit)s;

-- name: operations_after
-- The next operations in the order of their keys; what the current key encrypts is left out.
SELECT
    caller, customer_id, provider, request_id, key_id,
    CASE WHEN key_id <> %(current_key_id)s THEN document END
FROM operations
WHERE (caller, customer_id, provider, request_id)
    > (%(caller)s, %(customer_id)s, %(provider)s, %(request_id)s)
ORDER BY caller, customer_id, provider, request_id
LIMIT %(limit)s;

-- name: service_secrets_after
-- The next secrets of the service's own.
SELECT name, key_id, secret
FROM service_secrets
WHERE name > %(name)s
ORDER BY name
LIMIT %(limit)s;

-- name: replace_connections
-- The same secrets, encrypted anew; no two encryptions are equal, so nobody else changed them. One
-- that somebody changes just now is passed over.
UPDATE connections SET
    key_id = %(current_key_id)s, credential = %(credential)s, refresh_token = %(refresh_token)s
WHERE ctid = (
    SELECT ctid
    FROM connections
    WHERE customer_id = %(customer_id)s AND provider = %(provider)s AND credential = %(known)s
    FOR UPDATE SKIP LOCKED
)
RETURNING key_id;

-- name: replace_operations
-- The same document, encrypted anew; likewise.
UPDATE operations SET key_id = %(current_key_id)s, document = %(document)s
WHERE ctid = (
    SELECT ctid
    FROM operations
    WHERE caller = %(caller)s AND customer_id = %(customer_id)s AND provider = %(provider)s
        AND request_id = %(request_id)s AND document = %(known)s
    FOR UPDATE SKIP LOCKED
)
RETURNING key_id;

-- name: replace_service_secrets
-- The same secret, encrypted anew.
UPDATE service_secrets SET key_id = %(current_key_id)s, secret = %(secret)s
WHERE name = %(name)s AND secret = %(known)s
RETURNING key_id;

-- name: keep_service_secret
-- A secret of the service's own, unless there is one of this name.
INSERT INTO service_secrets (name, key_id, secret)
VALUES (%(name)s, %(key_id)s, %(secret)s)
ON CONFLICT DO NOTHING;

-- name: service_secret
-- One secret of the service's own.
SELECT key_id, secret FROM service_secrets WHERE name = %(name)s;
