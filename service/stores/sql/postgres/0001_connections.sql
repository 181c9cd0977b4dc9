-- Customers' connections. Secrets are AES-256-GCM: a nonce of 12 bytes, the text, a tag of 16.
-- COLLATE "C": ids are compared as bytes, and no upgrade of the system's locales touches an index.
CREATE TABLE connections (
    customer_id text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('oauth', 'api_key', 'bearer')),
    -- expired: the provider refused the refresh token for good.
    state text NOT NULL CHECK (state IN ('usable', 'expired')),
    -- Which key of the key ring the secrets of this row are encrypted with.
    key_id text NOT NULL,
    credential bytea NOT NULL,
    refresh_token bytea,
    -- NULL: the provider did not say when the access token ends.
    expires_at_epoch_ms bigint,
    updated_at_epoch_ms bigint NOT NULL,
    PRIMARY KEY (customer_id, provider)
);
