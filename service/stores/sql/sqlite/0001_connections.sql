-- Customers' connections. Secrets are AES-256-GCM: a nonce of 12 bytes, the text, a tag of 16.
CREATE TABLE connections (
    customer_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('oauth', 'api_key', 'bearer')),
    -- expired: the provider refused the refresh token for good.
    state TEXT NOT NULL CHECK (state IN ('usable', 'expired')),
    -- Which key of the key ring the secrets of this row are encrypted with.
    key_id TEXT NOT NULL,
    credential BLOB NOT NULL,
    refresh_token BLOB,
    -- NULL: the provider did not say when the access token ends.
    expires_at_epoch_ms INTEGER,
    updated_at_epoch_ms INTEGER NOT NULL,
    PRIMARY KEY (customer_id, provider)
) WITHOUT ROWID;
