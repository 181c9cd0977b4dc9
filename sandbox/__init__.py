"""Stand-ins of Outreach, Salesloft and Apollo over real HTTP, with faults to switch on.

Written from what is publicly known of the three vendors and from nothing else, so that a mistake
in a client's mapping shows. Docstrings tag each imitated fact with its confidence:

[spec]      in a vendor's published OpenAPI file
[doc]       in a vendor's documentation prose
[code]      in public code that claims to run against the real API
[inferred]  deduced from these, never seen stated
[unknown]   looked for and not found: the sandbox had to choose, and says what it chose
"""
