-- Secrets of the service's own, encrypted as those of connections are.
CREATE TABLE service_secrets (
    name TEXT NOT NULL PRIMARY KEY,
    -- Which key of the key ring the secret is encrypted with.
    key_id TEXT NOT NULL,
    secret BLOB NOT NULL
) WITHOUT ROWID;
