"""A stand-in of Outreach API v2 (JSON:API 1.0): its accounts, endpoints, bodies and lists."""
