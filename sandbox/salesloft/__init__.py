"""A stand-in of Salesloft API v2: its accounts, endpoints, cadence imports and lists."""
