"""The policy's text: what may stand there, and every problem named at once."""

import hashlib
import re
from typing import Any

import pytest

from service.domain.caller_policy import (
    LOCAL_CALLER,
    Caller,
    CallerPolicy,
    PolicyInvalid,
    read_policy,
    token_digest,
)
from tests.callers.stage import BILLING_TOKEN, DNS, NAMED, SPIFFE, TOKENS_ALONE

HASH = "ab" * 32
OTHER_HASH = "cd" * 32


def problems(text: str, *, demands_certificates: bool = True) -> tuple[str, ...]:
    with pytest.raises(PolicyInvalid) as invalid:
        read_policy(text, demands_certificates=demands_certificates)
    assert str(invalid.value).splitlines() == list(invalid.value.problems)
    return invalid.value.problems


def of_tokens(text: str) -> tuple[str, ...]:
    """The problems of a policy where no certificates are asked for."""
    return problems(text, demands_certificates=False)


def of_caller(entries: str) -> tuple[str, ...]:
    """The problems of one caller, which has a name, and customers unless they are given."""
    rest = "" if "customers" in entries else 'customers = ["acme"]\n'
    proof = "" if "tls_names" in entries else 'tls_names = ["a.internal"]\n'
    return problems(f"[callers.a]\n{proof}{rest}{entries}")


def test_a_policy_has_callers_with_their_proofs_and_customers() -> None:
    policy = read_policy(NAMED, demands_certificates=True)

    billing, crm = policy.callers
    assert policy == CallerPolicy(
        (billing, crm),
        {SPIFFE: billing, DNS: billing, "spiffe://example.org/crm": crm, "crm.internal": crm},
        policy.by_token_digest,
    )
    assert billing == Caller("billing", frozenset({"acme", "globex"}))
    assert crm == Caller("crm", frozenset({"*"}))
    assert [caller for _, caller in policy.by_token_digest] == [billing, crm]


def test_a_caller_acts_for_its_customers_and_no_others() -> None:
    billing, crm = read_policy(NAMED, demands_certificates=True).callers

    assert [billing.may_act_for(each) for each in ("acme", "globex")] == [True, True]
    for other in ("", "Acme", "acm", "acme2", "*"):
        assert not billing.may_act_for(other)
        assert crm.may_act_for(other)
        assert LOCAL_CALLER.may_act_for(other)


def test_a_token_is_known_by_the_sha_256_of_its_text() -> None:
    assert token_digest(BILLING_TOKEN) == hashlib.sha256(BILLING_TOKEN.encode()).digest()


@pytest.mark.parametrize(
    "token", ["", "hunter2", "b" * 42, "b" * 44, "b" * 42 + "+", "b" * 42 + "é"]
)
def test_a_token_that_could_be_guessed_is_none_though_its_hash_is_in_the_policy(token: str) -> None:
    text = TOKENS_ALONE.replace(token_digest(BILLING_TOKEN).hex(), token_digest(token).hex())
    policy = read_policy(text, demands_certificates=False)

    assert policy.identify(None, token) is None


def test_a_hash_may_be_in_capitals_and_a_dns_name_in_any_case() -> None:
    text = NAMED.replace(
        token_digest(BILLING_TOKEN).hex(), token_digest(BILLING_TOKEN).hex().upper()
    )
    policy = read_policy(text.replace(DNS, DNS.upper()), demands_certificates=True)

    found = policy.identify([DNS], BILLING_TOKEN)
    assert found is not None
    assert found.name == "billing"


def test_nothing_presented_is_nobody() -> None:
    assert read_policy(NAMED, demands_certificates=True).identify(None, None) is None


@pytest.mark.parametrize("name", ["a", "Billing-2", "team.billing_eu", "9", "x" * 64])
def test_names_that_a_caller_can_have(name: str) -> None:
    text = TOKENS_ALONE.replace("callers.billing", f'callers."{name}"')
    assert read_policy(text, demands_certificates=False).callers[0].name == name


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "-a", ".a", "ä", "x" * 65, "a/b", "a\\nb", "a\\u0000"]
)
def test_names_that_a_caller_cannot_have(name: str) -> None:
    text = f'[callers."{name}"]\ntls_names = ["a.internal"]\ncustomers = ["acme"]'

    (problem,) = problems(text)

    assert problem.startswith("The caller's name ")
    assert problem.endswith(
        "must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or a digit."
    )
    assert problem.isprintable()


@pytest.mark.parametrize(
    "text", ["", "\n# nobody\n", "callers = {}", "callers = 5", "callers = []"]
)
def test_a_policy_without_callers_is_none(text: str) -> None:
    """Such as one that is being written."""
    assert problems(text) == ("It has no callers: each is a table [callers.NAME].",)


@pytest.mark.parametrize(
    "text",
    [
        "[callers.a",
        "[callers.a]\n[callers.a]",
        "x = ",
        "\x00",
        '"""',
        f"x = {'[' * 5000}",
        "a = 1\na = 2",
    ],
)
def test_what_is_no_toml_is_refused(text: str) -> None:
    (problem,) = problems(text)

    assert problem.startswith("It is not valid TOML: ")


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ('customers = "acme"', "callers.a.customers must be a list of texts."),
        ("customers = [1]", "callers.a.customers must have texts alone."),
        ("customers = []", 'callers.a has no customers: list their ids, or ["*"].'),
        (
            'customers = ["acme", "a b"]',
            "callers.a.customers[1]: Must be 1 to 256 printable ASCII characters without spaces.",
        ),
        (
            'customers = ["*", "acme"]',
            (
                "callers.a.customers has '*' beside others: give it alone for any customer, or "
                "leave it out."
            ),
        ),
        ('tls_names = "a.internal"', "callers.a.tls_names must be a list of texts."),
        ('tls_names = ["a.internal", 5]', "callers.a.tls_names must have texts alone."),
        ('token_sha256 = { x = "y" }', "callers.a.token_sha256 must be a list of texts."),
        (
            'tls_name = ["b.internal"]',
            "callers.a has 'tls_name'; its entries are tls_names, token_sha256, customers.",
        ),
    ],
)
def test_an_entry_that_is_wrong_is_named(entries: str, problem: str) -> None:
    assert of_caller(entries) == (problem,)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a b", "*.internal", "a..b", ".a", "a.", "-a.b", "a-.b", "ä.b", "a/b", "CN=a"),
        *("x" * 64, f"{'a.' * 127}b", ":", ":x", "1:x", "a:", "a:b c", "a:ä", "http:\\n//x"),
        f"a:{'x' * 2001}",
    ],
)
def test_names_that_no_certificate_can_prove_are_refused(name: str) -> None:
    (problem,) = of_caller(f'tls_names = ["b.internal", "{name}"]')

    assert problem == (
        "callers.a.tls_names[1] must be a URI such as spiffe://example.org/billing or a DNS name "
        "such as billing.internal, without wildcards."
    )


@pytest.mark.parametrize(
    "name", ["a", "a_b.c-d", "10.0.0.1", "urn:x:y", "https://example.org/~a?b#c", f"{'a.' * 126}b"]
)
def test_names_that_a_certificate_can_prove_are_taken(name: str) -> None:
    text = f'[callers.a]\ntls_names = ["{name}"]\ncustomers = ["acme"]'
    assert list(read_policy(text, demands_certificates=True).by_tls_name) == [name]


@pytest.mark.parametrize(
    "text", ["", HASH[:-1], f"{HASH}0", f"{HASH[:-1]}g", BILLING_TOKEN, f" {HASH}"]
)
def test_what_is_no_hash_is_refused_without_being_shown(text: str) -> None:
    (problem,) = of_tokens(
        f'[callers.a]\ncustomers = ["acme"]\ntoken_sha256 = ["{OTHER_HASH}", "{text}"]'
    )

    assert problem == (
        "callers.a.token_sha256[1] must be 64 hexadecimal digits, as `tokens new` prints them: "
        "the SHA-256 of a token, never the token itself."
    )


def test_a_proof_of_two_callers_is_refused() -> None:
    entries = (
        f'tls_names = ["A.internal", "urn:a"]\ntoken_sha256 = ["{HASH}"]\ncustomers = ["acme"]'
    )
    others = entries.replace("A.", "a.").replace(HASH, HASH.upper())

    assert problems(f"[callers.one]\n{entries}\n[callers.two]\n{others}") == (
        "callers.two.tls_names[0], a.internal, is a name of caller one too.",
        "callers.two.tls_names[1], urn:a, is a name of caller one too.",
        "callers.two.token_sha256[0] is a token of caller one too.",
    )


def test_a_caller_needs_a_proof_that_the_server_asks_for() -> None:
    customers = '[callers.a]\ncustomers = ["acme"]\n'
    name, token = f'{customers}tls_names = ["a.internal"]', f'{customers}token_sha256 = ["{HASH}"]'
    no_proof = ("callers.a has no proof: give it tls_names or token_sha256.",)

    for demands_certificates in (True, False):
        for empty in ("", "tls_names = []", "token_sha256 = []"):
            text = customers + empty
            assert problems(text, demands_certificates=demands_certificates) == no_proof
    (problem,) = of_tokens(name)
    assert problem == (
        "callers.a.tls_names proves nothing: without ENGAGEMENT_TLS_CLIENT_CA no client "
        "certificate is asked for."
    )
    (problem,) = problems(token)
    assert problem == (
        "callers.a needs tls_names: with ENGAGEMENT_TLS_CLIENT_CA every client presents a "
        "certificate, which has to name its caller, whether or not there is a token."
    )
    read_policy(name, demands_certificates=True)
    read_policy(token, demands_certificates=False)


def test_every_problem_is_told_at_once() -> None:
    text = """
        colour = "blue"
        [callers."a b"]
        tls_names = ["*"]
        customers = ["acme", ""]
        [callers.c]
        token_sha256 = ["hush"]
        secret = "hush"
        [callers]
        d = 5
    """
    said: Any = problems(text)

    assert [re.split(r" must|,|: (?=with)", problem)[0] for problem in said] == [
        "'colour' is no entry of a policy",
        "The caller's name 'a b'",
        "callers.a b.customers[1]: Must be 1 to 256 printable ASCII characters without spaces.",
        "callers.a b.tls_names[0]",
        "callers.c has 'secret'; its entries are tls_names",
        "callers.c has no customers: list their ids",
        "callers.c needs tls_names",
        "callers.c.token_sha256[0]",
        "callers.d",
    ]
    assert "hush" not in str(said)
