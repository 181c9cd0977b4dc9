-- Secrets of the service's own, encrypted as those of connections are.
CREATE TABLE service_secrets (
    name text COLLATE "C" PRIMARY KEY,
    -- Which key of the key ring the secret is encrypted with.
    key_id text NOT NULL,
    secret bytea NOT NULL
);
