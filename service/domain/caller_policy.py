"""Who may call, and for which customers: the policy of callers, read and checked in full.

A caller proves itself by a name in its client certificate (a URI or a DNS name, never the common
name) or by a bearer token. The policy holds a token's SHA-256 only. A fast hash is sound here,
since tokens have one form, that of `tokens new`, with 256 random bits in it: there is nothing to
guess that a slow hash would make slower.
"""

import hashlib
import hmac
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from service.domain.step import CUSTOMER_ID, CUSTOMER_ID_RULE
from service.domain.value_class import value_class

TOKEN_BYTES: Final = 32
"""Random bytes of a token; its text is their base64 for URLs, without padding."""

ANY_CUSTOMER: Final = "*"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_TOKEN_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_CALLER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,2000}")
_DNS_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z){_DNS_LABEL}(\.{_DNS_LABEL})*")

_ENTRIES = ("tls_names", "token_sha256", "customers")


class PolicyInvalid(Exception):  # noqa: N818 - a fact about a text, not a fault of ours
    """A policy does not make sense; `problems` has a sentence for each thing wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@value_class
class Caller:
    """A service that calls, and the customers that it may act for."""

    name: str
    customers: frozenset[str]
    """Their ids, or `ANY_CUSTOMER` alone."""

    def may_act_for(self, customer_id: str) -> bool:
        """Say whether it may; a customer that does not exist is answered in the same way."""
        return customer_id in self.customers or ANY_CUSTOMER in self.customers


LOCAL_CALLER: Final = Caller("local", frozenset({ANY_CUSTOMER}))
"""The caller of every call where there is no policy."""


@value_class
class CallerPolicy:
    """All callers, by what proves them."""

    callers: Sequence[Caller]
    by_tls_name: Mapping[str, Caller]
    """URIs as they are written, DNS names in lower case."""

    by_token_digest: Sequence[tuple[bytes, Caller]]

    def identify(self, tls_names: Collection[str] | None, token: str | None) -> Caller | None:
        """Return the one caller that all of what is presented proves, else None.

        `tls_names`: those of the client certificate, None where none was presented. `token`: None
        where none was presented, and empty where it was not in the form of one.
        """
        proven: set[Caller | None] = set()
        if tls_names is not None:
            named = {self.by_tls_name[name] for name in tls_names if name in self.by_tls_name}
            proven |= named or {None}
        if token is not None:
            proven.add(self._holder(token))
        return proven.pop() if len(proven) == 1 else None

    def _holder(self, token: str) -> Caller | None:
        """Return whose token it is; the time it takes says nothing of the tokens that there are."""
        if not _TOKEN.fullmatch(token):
            return None
        presented, holder = token_digest(token), None
        for digest, caller in self.by_token_digest:
            if hmac.compare_digest(digest, presented):
                holder = caller
        return holder


def token_digest(token: str) -> bytes:
    """Return what the policy knows of a token."""
    return hashlib.sha256(token.encode()).digest()


def read_policy(text: str, *, demands_certificates: bool) -> CallerPolicy:
    """Read a policy from TOML.

    `demands_certificates`: whether the server takes only clients that present a certificate.

    Raises:
        PolicyInvalid: naming everything that is wrong.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyInvalid((f"It is not valid TOML: {error}.",)) from None
    return _Reader(demands_certificates=demands_certificates).policy(document)


class _Reader:
    """Reads one policy and notes what is wrong with it, so that all of it is told at once.

    No sentence quotes what stands in `token_sha256`: it may be a token that was put there by
    mistake.
    """

    def __init__(self, *, demands_certificates: bool) -> None:
        self._demands_certificates = demands_certificates
        self._problems: list[str] = []
        self._callers: list[Caller] = []
        self._by_tls_name: dict[str, Caller] = {}
        self._by_token_digest: dict[bytes, Caller] = {}

    def policy(self, document: Mapping[str, Any]) -> CallerPolicy:
        for key in sorted(document.keys() - {"callers"}):
            self._refuse(f"{key!r} is no entry of a policy, which has tables [callers.NAME] alone.")
        callers = document.get("callers", {})
        if not isinstance(callers, dict) or not callers:
            self._refuse("It has no callers: each is a table [callers.NAME].")
        else:
            for name, entries in callers.items():
                self._read_caller(name, entries)
        if self._problems:
            raise PolicyInvalid(tuple(self._problems))
        return CallerPolicy(
            tuple(self._callers), self._by_tls_name, tuple(self._by_token_digest.items())
        )

    def _read_caller(self, name: str, entries: object) -> None:
        if not _CALLER_NAME.fullmatch(name):
            self._refuse(
                f"The caller's name {name!r} must be 1 to 64 letters, digits, '.', '_' or '-', and "
                "begin with a letter or a digit."
            )
        path = f"callers.{name if name.isprintable() else repr(name)}"
        if not isinstance(entries, dict):
            self._refuse(f"{path} must be a table, [{path}].")
            return
        for key in sorted(entries.keys() - set(_ENTRIES)):
            self._refuse(f"{path} has {key!r}; its entries are {', '.join(_ENTRIES)}.")
        caller = Caller(name, self._customers(path, entries))
        self._callers.append(caller)
        self._check_proofs(path, entries)
        self._read_tls_names(path, entries, caller)
        self._read_tokens(path, entries, caller)

    def _customers(self, path: str, entries: Mapping[str, Any]) -> frozenset[str]:
        customers = self._texts(f"{path}.customers", entries.get("customers", []))
        if not entries.get("customers"):
            self._refuse(f'{path} has no customers: list their ids, or ["{ANY_CUSTOMER}"].')
        for index, customer_id in customers:
            if not CUSTOMER_ID.fullmatch(customer_id):
                self._refuse(f"{path}.customers[{index}]: {CUSTOMER_ID_RULE}")
        ids = frozenset(customer_id for _, customer_id in customers)
        if ANY_CUSTOMER in ids and len(ids) > 1:
            self._refuse(
                f"{path}.customers has '{ANY_CUSTOMER}' beside others: give it alone for any "
                "customer, or leave it out."
            )
        return ids

    def _check_proofs(self, path: str, entries: Mapping[str, Any]) -> None:
        has_names = bool(entries.get("tls_names"))
        if not has_names and not entries.get("token_sha256"):
            self._refuse(f"{path} has no proof: give it tls_names or token_sha256.")
        elif has_names and not self._demands_certificates:
            self._refuse(
                f"{path}.tls_names proves nothing: without ENGAGEMENT_TLS_CLIENT_CA no client "
                "certificate is asked for."
            )
        elif self._demands_certificates and not has_names:
            self._refuse(
                f"{path} needs tls_names: with ENGAGEMENT_TLS_CLIENT_CA every client presents a "
                "certificate, which has to name its caller, whether or not there is a token."
            )

    def _read_tls_names(self, path: str, entries: Mapping[str, Any], caller: Caller) -> None:
        for index, name in self._texts(f"{path}.tls_names", entries.get("tls_names", [])):
            is_uri = ":" in name
            if not (_URI if is_uri else _DNS_NAME).fullmatch(name):
                self._refuse(
                    f"{path}.tls_names[{index}] must be a URI such as spiffe://example.org/billing "
                    "or a DNS name such as billing.internal, without wildcards."
                )
                continue
            owner = self._by_tls_name.setdefault(name if is_uri else name.lower(), caller)
            if owner is not caller:
                self._refuse(
                    f"{path}.tls_names[{index}], {name}, is a name of caller {owner.name} too."
                )

    def _read_tokens(self, path: str, entries: Mapping[str, Any], caller: Caller) -> None:
        for index, sha256 in self._texts(f"{path}.token_sha256", entries.get("token_sha256", [])):
            if not _TOKEN_SHA256.fullmatch(sha256):
                self._refuse(
                    f"{path}.token_sha256[{index}] must be 64 hexadecimal digits, as `tokens new` "
                    "prints them: the SHA-256 of a token, never the token itself."
                )
                continue
            owner = self._by_token_digest.setdefault(bytes.fromhex(sha256), caller)
            if owner is not caller:
                self._refuse(f"{path}.token_sha256[{index}] is a token of caller {owner.name} too.")

    def _texts(self, path: str, value: object) -> list[tuple[int, str]]:
        """Return a list's texts with their places in it; note what is none."""
        if not isinstance(value, list):
            self._refuse(f"{path} must be a list of texts.")
            return []
        texts = [(index, text) for index, text in enumerate(value) if isinstance(text, str)]
        if len(texts) < len(value):
            self._refuse(f"{path} must have texts alone.")
        return texts

    def _refuse(self, problem: str) -> None:
        self._problems.append(problem)
