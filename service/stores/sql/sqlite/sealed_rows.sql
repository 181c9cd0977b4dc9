-- name: connections_after
-- The next connections in the order of their keys.
SELECT customer_id, provider, key_id, credential, refresh_token
FROM connections
WHERE (customer_id, provider) > (:customer_id, :provider)
ORDER BY customer_id, provider
LIMIT :limit;

-- name: operations_after
-- The next operations in the order of their keys; what the current key encrypts is left out.
SELECT
    caller, customer_id, provider, request_id, key_id,
    CASE WHEN key_id <> :current_key_id THEN document END
FROM operations
WHERE (caller, customer_id, provider, request_id)
    > (:caller, :customer_id, :provider, :request_id)
ORDER BY caller, customer_id, provider, request_id
LIMIT :limit;

-- name: service_secrets_after
-- The next secrets of the service's own.
SELECT name, key_id, secret
FROM service_secrets
WHERE name > :name
ORDER BY name
LIMIT :limit;

-- name: replace_connections
-- The same secrets, encrypted anew; no two encryptions are equal, so nobody else changed them.
UPDATE connections SET
    key_id = :current_key_id, credential = :credential, refresh_token = :refresh_token
WHERE customer_id = :customer_id AND provider = :provider AND credential = :known;

-- name: replace_operations
-- The same document, encrypted anew.
UPDATE operations SET key_id = :current_key_id, document = :document
WHERE caller = :caller AND customer_id = :customer_id AND provider = :provider
    AND request_id = :request_id AND document = :known;

-- name: replace_service_secrets
-- The same secret, encrypted anew.
UPDATE service_secrets SET key_id = :current_key_id, secret = :secret
WHERE name = :name AND secret = :known;

-- name: keep_service_secret
-- A secret of the service's own, unless there is one of this name.
INSERT INTO service_secrets (name, key_id, secret)
VALUES (:name, :key_id, :secret)
ON CONFLICT DO NOTHING;

-- name: service_secret
-- One secret of the service's own.
SELECT key_id, secret FROM service_secrets WHERE name = :name;
