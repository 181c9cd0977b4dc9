"""Every event that the service logs, with its fields: what is not in this table is not logged.

A field is there because somebody who operates the service needs it. None holds what a step says, a
credential, or words of a caller or a vendor.
"""

from collections.abc import Mapping
from typing import Final

from service.domain.value_class import value_class


@value_class
class LogEvent:
    """One kind of line."""

    meaning: str
    fields: tuple[str, ...] = ()


_WHOSE: Final = ("customer", "provider")
_OPERATION: Final = (*_WHOSE, "sequence", "request_id")

EVENTS: Final[Mapping[str, LogEvent]] = {
    "serving": LogEvent("the server answers from now on", ("address", "port")),
    "callers_not_identified": LogEvent(
        "there is no policy: whoever reaches the port, which is a loopback one, may act for all"
    ),
    "policy_loaded": LogEvent(
        "the policy of callers is in force from now on",
        ("path", "callers", "tls_names", "tokens"),
    ),
    "policy_kept": LogEvent(
        "the policy's file has changed and cannot be used: the one before it stays in force",
        ("path", "problems"),
    ),
    "certificates_loaded": LogEvent("the server's certificate has been replaced", ("path",)),
    "certificates_kept": LogEvent(
        "certificate files have changed and cannot be used: those before them stay", ("problem",)
    ),
    "rpc": LogEvent(
        "a call has ended",
        (
            *("method", "caller", *_WHOSE, "request_id", "code", "reason", "error_id", "replayed"),
            *("provider_reads", "provider_writes", "provider_requests", "warnings"),
            *("duration_ms", "deadline_seconds", "exception"),
        ),
    ),
    "operation_without_caller": LogEvent(
        "what became of a request whose caller had left",
        (*_OPERATION, "outcome", "step_id", "exception"),
    ),
    "operation_recovered": LogEvent(
        "a request that nobody ran any more was looked after", (*_OPERATION, "state", "step_id")
    ),
    "duplicate_suspected": LogEvent(
        "a second step that equals a request's own has turned up",
        (*_OPERATION, "step_id", "others"),
    ),
    "execution_failed": LogEvent("a bug, after a write had begun", ("exception",)),
    "recovery_failed": LogEvent("a bug, in looking after requests", ("exception",)),
    "recovery_paused": LogEvent("looking after requests goes on later", ("error",)),
    "leases_not_renewed": LogEvent(
        "other processes may take over what this one works on", ("count", "error", "exception")
    ),
    "operations_cut_off": LogEvent("writes under way were cut at the end", ("count",)),
    "connection_refreshed": LogEvent("a connection has a new access token", _WHOSE),
    "connection_expired": LogEvent("a connection has to be put again", _WHOSE),
    "connection_unreadable": LogEvent("a stored connection does not decrypt", (*_WHOSE, "error")),
    "refresh_failed": LogEvent(
        "an access token could not be refreshed", (*_WHOSE, "reason", "detail", "exception")
    ),
    "operation_unreadable": LogEvent("what is stored of a request does not decrypt", ("error",)),
    "store_failed": LogEvent("the database failed", ("code", "error")),
    "lock_kept_by_another": LogEvent("a lock in the database was not to be had", ("lock",)),
    "library": LogEvent(
        "a library's warning; what it filled in is left out, except numbers",
        ("logger", "message", "exception"),
    ),
    "uncaught": LogEvent("a bug that nothing caught", ("origin", "exception")),
    "metrics_served": LogEvent("metrics can be read from now on", ("address", "port")),
    "metrics_incomplete": LogEvent(
        "metrics were asked for, and the journal did not count its requests", ("exception",)
    ),
    "traces_dropped": LogEvent(
        "at the end the collector did not take what was left of the traces in time"
    ),
    "stopping": LogEvent("a signal to stop has come, or the server ended"),
    "stopped": LogEvent("all calls and writes have ended"),
}


def log_table() -> str:
    """Return the events as rows of Markdown: event, meaning, fields."""
    return "\n".join(
        f"| `{name}` | {event.meaning} | {', '.join(f'`{field}`' for field in event.fields)} |"
        for name, event in EVENTS.items()
    )
