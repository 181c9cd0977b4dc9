"""What one RPC cost, counted while it runs, for its line in the log."""

from dataclasses import dataclass


@dataclass(slots=True)
class CallRecord:
    """Counts of one CreateSequenceStep call."""

    provider_reads: int = 0
    """Reads that the provider was asked for."""

    provider_writes: int = 0
    """Writes that were asked for, an undo and a template's second making included."""

    provider_requests: int = 0
    """HTTP requests in all, repeats included; token refreshes are not."""

    warnings: int = 0
    """Warnings in the answer."""
