"""A stand-in of Apollo API v1: its accounts, endpoints, bodies and records."""
