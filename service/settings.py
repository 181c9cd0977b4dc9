"""Settings: read from the environment once, checked in full, and never changed afterwards.

Each setting is one field of `Settings`, or of one provider's `ProviderSettings`: the variable is
the field's name in capitals after `ENGAGEMENT_`, and after the provider's name where it is one's.
An empty variable counts as one that is not set.
"""

import base64
import binascii
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from service.domain.connection import Secret
from service.domain.loopback import is_loopback
from service.domain.step import ProviderName
from service.domain.value_class import value_class
from service.providers.registration import Registration, Registry
from service.providers.registry import PROVIDERS

PREFIX = "ENGAGEMENT_"

KEY_BYTES = 32
SECONDS_MAX = 3600.0
REQUESTS_IN_FLIGHT_MAX = 100_000
PORT_MAX = 65_535
LOG_LEVELS = ("debug", "info", "warning", "error")

_DIGITS = re.compile(r"[0-9]{1,9}")
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class SettingsError(Exception):
    """The environment does not make sense; `problems` has a sentence for each thing wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@value_class
class EncryptionKey:
    """One key of the ring that protects stored credentials."""

    id: str
    key: Secret
    """32 bytes in base64."""


@value_class
class SqliteFile:
    """A database of one serving process."""

    path: Path


@value_class
class PostgresUrl:
    """A database that several processes share; its URL may hold a password."""

    url: Secret


def _listen(text: str) -> str:
    host, _, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not host or not _is_number(port, 0, PORT_MAX) or (":" in host) != is_bracketed:
        raise ValueError("must be host:port, such as 127.0.0.1:50051 or [::1]:50051")
    return text


def _database(text: str) -> SqliteFile | PostgresUrl:
    scheme, separator, _ = text.partition("://")
    if not separator:
        return SqliteFile(Path(text))
    if scheme not in {"postgresql", "postgres"}:
        raise ValueError("must be the path of a file, or a URL that begins with postgresql://")
    return PostgresUrl(Secret(text))


def _keys(text: str) -> tuple[EncryptionKey, ...]:
    keys = tuple(_key(entry) for entry in text.split(","))
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("must not have two keys with the same id")
    return keys


def _key(entry: str) -> EncryptionKey:
    key_id, _, encoded = entry.strip().partition(":")
    try:
        is_key = len(base64.b64decode(encoded, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        is_key = False
    if not is_key or not _KEY_ID.fullmatch(key_id):
        raise ValueError(
            f"must be id:key, several separated by commas; an id is 1 to 64 letters, digits, "
            f"'.', '_' or '-', a key {KEY_BYTES} random bytes in base64"
        )
    return EncryptionKey(key_id, Secret(encoded))


def _url(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a URL of printable ASCII characters without spaces")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL") from None
    if not host or parts.scheme not in {"http", "https"}:
        raise ValueError("must be a URL that begins with https://")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("must begin with https://, since credentials are sent there")
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError("must have no user, query or fragment")
    return text.rstrip("/")


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text.lower() == "true"


def _log_level(text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}")
    return text.lower()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= SECONDS_MAX:
        raise ValueError(f"must be a number of seconds from 0 to {SECONDS_MAX:g}")
    return seconds


def _requests(text: str) -> int:
    if not _is_number(text, 1, REQUESTS_IN_FLIGHT_MAX):
        raise ValueError(f"must be a whole number from 1 to {REQUESTS_IN_FLIGHT_MAX}")
    return int(text)


def _is_number(text: str, least: int, most: int) -> bool:
    return bool(_DIGITS.fullmatch(text)) and least <= int(text) <= most


@value_class
class _Variable:
    """How one field is read from the environment, and what the documentation says of it."""

    parse: Callable[[str], object]
    meaning: str
    default: str | None = None
    is_required: bool = False

    def value(self, text: str | None) -> object:
        """Return the field's value; `text` is None when the variable is not set."""
        if text is None and self.is_required:
            raise ValueError(f"is required. {self.meaning}")
        text = text or self.default
        return None if text is None else self.parse(text)

    @property
    def shown_default(self) -> str:
        """The default as the documentation shows it."""
        if self.is_required:
            return "required"
        return "not set" if self.default is None else f"`{self.default}`"


def _setting(default: str, parse: Callable[[str], object], meaning: str) -> dict[str, _Variable]:
    """Describe a field; the default is in the form that the environment has."""
    return {"variable": _Variable(parse, meaning, default)}


def _optional(parse: Callable[[str], object], meaning: str) -> dict[str, _Variable]:
    """Describe a field that is None when it is not set."""
    return {"variable": _Variable(parse, meaning)}


def _required(parse: Callable[[str], object], meaning: str) -> dict[str, _Variable]:
    """Describe a field that must be set."""
    return {"variable": _Variable(parse, meaning, is_required=True)}


@value_class
class ProviderSettings:
    """Where one provider is, and as whom this service refreshes tokens there."""

    registration: Registration = field(repr=False)
    api_url: str
    settle_seconds: float
    token_url: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = None


def _provider_variables(provider: Registration) -> dict[str, _Variable]:
    """Describe the fields of `ProviderSettings` that a provider has in the environment."""
    vendor = provider.name.capitalize()
    variables = {"api_url": _Variable(_url, f"Base URL of {vendor}'s API.", provider.api_url)}
    if provider.token_url is not None:
        variables["token_url"] = _Variable(
            _url, f"Where {vendor}'s tokens are refreshed.", provider.token_url
        )
        variables["client_id"] = _Variable(
            str, f"Id of the OAuth app at {vendor}; without it tokens are not refreshed."
        )
        variables["client_secret"] = _Variable(
            Secret, f"Secret of the OAuth app at {vendor}; given with the id or not at all."
        )
    variables["settle_seconds"] = _Variable(
        _seconds,
        f"Within this {vendor} applies or drops a request, and shows it; only after it a step that "
        "is not seen counts as not made.",
        f"{provider.settle_seconds:g}",
    )
    return variables


@value_class
class Settings:
    """All settings, checked."""

    listen: str = field(
        metadata=_setting(
            "127.0.0.1:50051",
            _listen,
            "Address and port to serve at. Loopback only, unless there are a policy and TLS.",
        )
    )
    policy: Path | None = field(
        metadata=_optional(
            Path,
            "Path of the file that says who may call and for which customers; it is read again "
            "when it changes. Without it callers are not identified.",
        )
    )
    tls_certificate: Path | None = field(
        metadata=_optional(
            Path,
            "Path of the server's certificate chain, in PEM; read again when it changes. With it "
            "the port speaks TLS alone.",
        )
    )
    tls_key: Path | None = field(
        metadata=_optional(
            Path, "Path of its key, in PEM without a password; given with it or not at all."
        )
    )
    tls_client_ca: Path | None = field(
        metadata=_optional(
            Path,
            "Path of the certificates of authorities, in PEM: with it every client has to present "
            "a certificate that one of them signed.",
        )
    )
    tls_ended_in_front: bool = field(
        metadata=_setting(
            "false",
            _flag,
            "Says that a mesh or proxy ends TLS and that nothing else can reach the port; then it "
            "may be beyond loopback without a certificate.",
        )
    )
    database: SqliteFile | PostgresUrl = field(
        metadata=_setting(
            "var/engagement.db",
            _database,
            "Path of a SQLite file for one process, its folder is made if missing; or a "
            "`postgresql://` URL for several.",
        )
    )
    keys: tuple[EncryptionKey, ...] = field(
        metadata=_required(
            _keys,
            "Keys that encrypt stored credentials, as `id:key` separated by commas; a key is "
            "32 random bytes in base64, and `keys new` makes one. The first encrypts, all decrypt.",
        )
    )
    providers: Mapping[ProviderName, ProviderSettings]
    require_request_id: bool = field(
        metadata=_setting("false", _flag, "Whether a request that writes must have a `request_id`.")
    )
    reflection: bool = field(
        metadata=_setting(
            "false", _flag, "Whether clients such as grpcurl can ask the server for its contract."
        )
    )
    log_level: str = field(
        metadata=_setting("info", _log_level, f"One of {', '.join(LOG_LEVELS)}.")
    )
    metrics_listen: str | None = field(
        metadata=_optional(
            _listen,
            "Address and port to serve Prometheus metrics at, over HTTP at `/metrics`, such as "
            "127.0.0.1:9464; without it they are not served.",
        )
    )
    traces: bool = field(
        metadata=_setting(
            "false",
            _flag,
            "Whether traces are sent to a collector; where it is says OpenTelemetry's own "
            "`OTEL_EXPORTER_OTLP_ENDPOINT`.",
        )
    )
    requests_in_flight_max: int = field(
        metadata=_setting(
            "1000", _requests, "Requests in flight at once, those that wait included."
        )
    )
    requests_in_flight_per_provider_max: int = field(
        metadata=_setting(
            "200",
            _requests,
            "Of these, how many are worked on for one provider; as many more may wait.",
        )
    )
    requests_in_flight_per_connection_max: int = field(
        metadata=_setting(
            "50",
            _requests,
            "Of these, how many for one customer at one provider; as many more may wait.",
        )
    )
    drain_delay_seconds: float = field(
        metadata=_setting(
            "5",
            _seconds,
            "On SIGTERM: from telling health probes until new calls are refused. A second signal "
            "skips it.",
        )
    )
    grace_seconds: float = field(
        metadata=_setting(
            "30", _seconds, "After that: how long running calls may take before they are cut."
        )
    )
    finish_seconds: float = field(
        metadata=_setting(
            "35",
            _seconds,
            "After that: how long writes that have begun may take, whoever still waits for them.",
        )
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], registry: Registry = PROVIDERS) -> Self:
        """Read every setting.

        Raises:
            SettingsError: naming everything that is wrong, unknown variables included.
        """
        given = {
            name: text.strip()
            for name, text in environ.items()
            if name.startswith(PREFIX) and text.strip()
        }
        variables = _variables(registry)
        problems = _unknown_names(environ, variables)
        values: dict[str, Any] = {}
        for name, (field_name, variable) in variables.items():
            try:
                values[field_name] = variable.value(given.get(name))
            except ValueError as error:
                problems.append(f"{name} {str(error).removesuffix('.')}.")
        problems += _half_given_apps(given, registry)
        problems += _half_given_tls(given)
        problems += _unsafe_address(values)
        problems += _shares_larger_than_the_whole(values)
        if problems:
            raise SettingsError(tuple(problems))
        providers = {name: _taken(values, registry[name]) for name in registry}
        return cls(**values, providers=providers)


def _variables(registry: Registry) -> Mapping[str, tuple[str, _Variable]]:
    """Return every variable with the name of its value, in the order of the documentation."""
    named: dict[str, _Variable] = {}
    for each in fields(Settings):
        if each.name != "providers":
            named[each.name] = each.metadata["variable"]
            continue
        for name, provider in registry.items():
            described = _provider_variables(provider).items()
            named |= {f"{name}_{inner}": variable for inner, variable in described}
    return {f"{PREFIX}{name.upper()}": (name, variable) for name, variable in named.items()}


def _taken(values: dict[str, Any], provider: Registration) -> ProviderSettings:
    """Take one provider's values out of all."""
    names = _provider_variables(provider)
    own = {name: values.pop(f"{provider.name}_{name}") for name in names}
    return ProviderSettings(provider, **own)


def setting_names(registry: Registry) -> tuple[str, ...]:
    """Return the names of all variables, those of these providers among them."""
    return tuple(_variables(registry))


def settings_table() -> str:
    """Return the list of settings as rows of Markdown: variable, default, meaning."""
    return "\n".join(
        f"| `{name}` | {variable.shown_default} | {variable.meaning} |"
        for name, (_, variable) in _variables(PROVIDERS).items()
    )


def _unknown_names(environ: Mapping[str, str], known: Mapping[str, object]) -> list[str]:
    problems = []
    for name in sorted(environ.keys() - known.keys()):
        if not name.startswith(PREFIX):
            continue
        (nearest,) = difflib.get_close_matches(name, known, n=1, cutoff=0)
        problems.append(f"{name} is no setting; the nearest that is one is {nearest}.")
    return problems


def _half_given_apps(given: Mapping[str, str], registry: Registry) -> list[str]:
    problems = []
    for name, provider in registry.items():
        if provider.token_url is not None:
            prefix = f"{PREFIX}{name.upper()}"
            problems += _half_given(given, f"{prefix}_CLIENT_ID", f"{prefix}_CLIENT_SECRET")
    return problems


def _half_given_tls(given: Mapping[str, str]) -> list[str]:
    certificate, client_ca = f"{PREFIX}TLS_CERTIFICATE", f"{PREFIX}TLS_CLIENT_CA"
    problems = _half_given(given, certificate, f"{PREFIX}TLS_KEY")
    if client_ca in given and certificate not in given:
        problems.append(f"{client_ca} is of use only with {certificate}.")
    return problems


def _half_given(given: Mapping[str, str], *names: str) -> list[str]:
    missing = [name for name in names if name not in given]
    if len(missing) != 1:
        return []
    return [f"{missing[0]} is missing; give both {' and '.join(names)}."]


def _unsafe_address(values: Mapping[str, Any]) -> list[str]:
    """Say why other machines must not reach the address, if they could."""
    listen = values.get("listen")
    if listen is None or is_loopback(listen.rpartition(":")[0].strip("[]")):
        return []
    if values.get("policy") is None:
        missing = (
            f"{PREFIX}POLICY is set: without it callers are not identified, so the service must "
            "not be reachable from other machines"
        )
    elif values.get("tls_certificate") is None and not values.get("tls_ended_in_front"):
        missing = (
            f"{PREFIX}TLS_CERTIFICATE is set, or {PREFIX}TLS_ENDED_IN_FRONT is true because a mesh "
            "or proxy ends TLS and only it can reach the port: without TLS others can read tokens"
        )
    else:
        return []
    return [f"{PREFIX}LISTEN must be a loopback address such as 127.0.0.1, unless {missing}."]


def _shares_larger_than_the_whole(values: Mapping[str, Any]) -> list[str]:
    """Say which limits protect nobody, since the limit that they are a share of is met first."""
    total = "requests_in_flight_max"
    per_provider = "requests_in_flight_per_provider_max"
    per_connection = "requests_in_flight_per_connection_max"
    return [
        f"{PREFIX}{share.upper()} ({values[share]}) must not be more than "
        f"{PREFIX}{whole.upper()} ({values[whole]})."
        for share, whole in ((per_provider, total), (per_connection, per_provider))
        if share in values and whole in values and values[share] > values[whole]
    ]
