"""The environment as settings: defaults, forms, and every problem at once."""

import base64
from pathlib import Path

import pytest

from service.domain.connection import Secret
from service.providers.apollo.registration import APOLLO
from service.providers.outreach.registration import OUTREACH
from service.providers.salesloft.registration import SALESLOFT
from service.settings import (
    EncryptionKey,
    PostgresUrl,
    ProviderSettings,
    Settings,
    SettingsError,
    SqliteFile,
    settings_table,
)

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(32)).decode()
ENOUGH = {"ENGAGEMENT_KEYS": f"k1:{KEY}"}


def problems(**environ: str) -> tuple[str, ...]:
    """What is said of these variables, beside what suffices."""
    named = {f"ENGAGEMENT_{name}": text for name, text in environ.items()}
    with pytest.raises(SettingsError) as failed:
        Settings.from_environment(ENOUGH | named)
    return failed.value.problems


def read(**environ: str) -> Settings:
    named = {f"ENGAGEMENT_{name}": text for name, text in environ.items()}
    return Settings.from_environment(ENOUGH | named)


def test_the_defaults() -> None:
    assert Settings.from_environment(ENOUGH | {"PATH": "/bin"}) == Settings(
        listen="127.0.0.1:50051",
        policy=None,
        tls_certificate=None,
        tls_key=None,
        tls_client_ca=None,
        tls_ended_in_front=False,
        database=SqliteFile(Path("var/engagement.db")),
        keys=(EncryptionKey("k1", Secret(KEY)),),
        providers={
            OUTREACH.name: ProviderSettings(
                OUTREACH,
                api_url="https://api.outreach.io/api/v2",
                token_url="https://api.outreach.io/oauth/token",
                settle_seconds=120.0,
            ),
            SALESLOFT.name: ProviderSettings(
                SALESLOFT,
                api_url="https://api.salesloft.com/v2",
                token_url="https://accounts.salesloft.com/oauth/token",
                settle_seconds=120.0,
            ),
            APOLLO.name: ProviderSettings(
                APOLLO, api_url="https://api.apollo.io/api/v1", settle_seconds=120.0
            ),
        },
        require_request_id=False,
        reflection=False,
        log_level="info",
        metrics_listen=None,
        traces=False,
        requests_in_flight_max=1000,
        requests_in_flight_per_provider_max=200,
        requests_in_flight_per_connection_max=50,
        drain_delay_seconds=5.0,
        grace_seconds=30.0,
        finish_seconds=35.0,
    )


def test_what_is_set_counts_and_what_is_empty_does_not() -> None:
    settings = read(
        LISTEN="[::1]:0",
        POLICY="/etc/engagement/policy.toml",
        TLS_CERTIFICATE="tls.crt",
        TLS_KEY="tls.key",
        TLS_CLIENT_CA="ca.crt",
        TLS_ENDED_IN_FRONT="true",
        DATABASE="/srv/x.db",
        KEYS=f"new:{OTHER_KEY}, old:{KEY}",
        OUTREACH_API_URL="http://127.0.0.1:8000/outreach/",
        APOLLO_API_URL="http://[::1]:8000",
        SALESLOFT_CLIENT_ID="id",
        SALESLOFT_CLIENT_SECRET="hush",
        OUTREACH_SETTLE_SECONDS="0",
        SALESLOFT_SETTLE_SECONDS="0.5",
        APOLLO_SETTLE_SECONDS="3600",
        REQUIRE_REQUEST_ID="true",
        REFLECTION="True",
        LOG_LEVEL=" DEBUG ",
        REQUESTS_IN_FLIGHT_MAX="3",
        REQUESTS_IN_FLIGHT_PER_PROVIDER_MAX="2",
        REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX="1",
        DRAIN_DELAY_SECONDS="0",
        GRACE_SECONDS="0.5",
        FINISH_SECONDS="",
    )

    outreach, salesloft, apollo = settings.providers.values()
    assert settings.listen == "[::1]:0"
    assert settings.policy == Path("/etc/engagement/policy.toml")
    assert settings.tls_certificate == Path("tls.crt")
    assert settings.tls_key == Path("tls.key")
    assert settings.tls_client_ca == Path("ca.crt")
    assert settings.tls_ended_in_front is True
    assert settings.database == SqliteFile(Path("/srv/x.db"))
    assert [key.id for key in settings.keys] == ["new", "old"]
    assert outreach.api_url == "http://127.0.0.1:8000/outreach"
    assert apollo.api_url == "http://[::1]:8000"
    assert salesloft.client_id == "id"
    assert salesloft.client_secret == Secret("hush")
    assert outreach.settle_seconds == 0
    assert salesloft.settle_seconds == 0.5
    assert apollo.settle_seconds == 3600
    assert settings.require_request_id is True
    assert settings.reflection is True
    assert settings.log_level == "debug"
    assert settings.requests_in_flight_max == 3
    assert settings.requests_in_flight_per_provider_max == 2
    assert settings.requests_in_flight_per_connection_max == 1
    assert settings.drain_delay_seconds == 0
    assert settings.grace_seconds == 0.5
    assert settings.finish_seconds == 35


@pytest.mark.parametrize("listen", ["127.0.0.1:50051", "127.8.9.1:1", "localhost:65535", "[::1]:1"])
def test_loopback_addresses_can_be_served_at(listen: str) -> None:
    assert read(LISTEN=listen).listen == listen


REACHABLE = [
    "0.0.0.0:50051",
    "[::]:50051",
    "10.0.0.1:50051",
    "[::ffff:10.0.0.1]:1",
    "example.com:1",
]
TLS = {"TLS_CERTIFICATE": "tls.crt", "TLS_KEY": "tls.key"}


@pytest.mark.parametrize("listen", REACHABLE)
@pytest.mark.parametrize("more", [{}, TLS, {"TLS_ENDED_IN_FRONT": "true"}])
def test_addresses_that_other_machines_reach_need_a_policy(
    listen: str, more: dict[str, str]
) -> None:
    (problem,) = problems(LISTEN=listen, **more)

    assert problem == (
        "ENGAGEMENT_LISTEN must be a loopback address such as 127.0.0.1, unless ENGAGEMENT_POLICY "
        "is set: without it callers are not identified, so the service must not be reachable from "
        "other machines."
    )


@pytest.mark.parametrize("listen", REACHABLE)
@pytest.mark.parametrize("more", [{}, {"TLS_ENDED_IN_FRONT": "false"}])
def test_addresses_that_other_machines_reach_need_tls_too(
    listen: str, more: dict[str, str]
) -> None:
    (problem,) = problems(LISTEN=listen, POLICY="policy.toml", **more)

    assert problem == (
        "ENGAGEMENT_LISTEN must be a loopback address such as 127.0.0.1, unless "
        "ENGAGEMENT_TLS_CERTIFICATE is set, or ENGAGEMENT_TLS_ENDED_IN_FRONT is true because a "
        "mesh or proxy ends TLS and only it can reach the port: without TLS others can read tokens."
    )


@pytest.mark.parametrize("listen", REACHABLE)
@pytest.mark.parametrize("more", [TLS, {"TLS_ENDED_IN_FRONT": "true"}])
def test_with_a_policy_and_tls_any_address_can_be_served_at(
    listen: str, more: dict[str, str]
) -> None:
    assert read(LISTEN=listen, POLICY="policy.toml", **more).listen == listen


def test_half_of_the_tls_files_is_refused() -> None:
    both = "give both ENGAGEMENT_TLS_CERTIFICATE and ENGAGEMENT_TLS_KEY."

    assert problems(TLS_CERTIFICATE="tls.crt") == (f"ENGAGEMENT_TLS_KEY is missing; {both}",)
    assert problems(TLS_KEY="tls.key") == (f"ENGAGEMENT_TLS_CERTIFICATE is missing; {both}",)
    assert problems(TLS_CLIENT_CA="ca.crt") == (
        "ENGAGEMENT_TLS_CLIENT_CA is of use only with ENGAGEMENT_TLS_CERTIFICATE.",
    )


@pytest.mark.parametrize(
    "listen",
    ["50051", ":50051", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", "::1:50051"],
)
def test_what_is_no_address_is_refused(listen: str) -> None:
    assert problems(LISTEN=listen) == (
        "ENGAGEMENT_LISTEN must be host:port, such as 127.0.0.1:50051 or [::1]:50051.",
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:hush@db.example/engagement",
        "postgres://app:hush@one.example:5432,two.example:5433/engagement?sslmode=verify-full",
        "postgresql:///engagement?host=/run/postgresql",
    ],
)
def test_a_database_may_be_a_postgresql_server(url: str) -> None:
    assert read(DATABASE=url).database == PostgresUrl(Secret(url))


@pytest.mark.parametrize("path", ["/srv/x.db", "x.db", "postgresql", "postgresql:x.db"])
def test_a_database_without_a_scheme_is_a_file(path: str) -> None:
    assert read(DATABASE=path).database == SqliteFile(Path(path))


@pytest.mark.parametrize("scheme", ["mysql", "sqlite", "Postgresql", "postgresql+psycopg", ""])
def test_a_database_of_another_kind_is_refused_without_showing_its_password(scheme: str) -> None:
    assert problems(DATABASE=f"{scheme}://app:hush@db.example/engagement") == (
        "ENGAGEMENT_DATABASE must be the path of a file, or a URL that begins with postgresql://.",
    )


def test_keys_are_required() -> None:
    with pytest.raises(SettingsError, match=r"^ENGAGEMENT_KEYS is required\. Keys that encrypt"):
        Settings.from_environment({"ENGAGEMENT_KEYS": " "})


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(KEY, id="no_id"),
        pytest.param(f":{KEY}", id="empty_id"),
        pytest.param(f"k 1:{KEY}", id="space_in_the_id"),
        pytest.param("k1:", id="no_key"),
        pytest.param("k1:not base64!", id="not_base64"),
        pytest.param(f"k1:{base64.b64encode(bytes(31)).decode()}", id="31_bytes"),
        pytest.param(f"k1:{base64.b64encode(bytes(33)).decode()}", id="33_bytes"),
        pytest.param(f"k1:{KEY}é", id="not_ascii"),
        pytest.param(f"k1:{KEY},", id="comma_at_the_end"),
        pytest.param(f"k1:{KEY},k2:short", id="second_is_wrong"),
    ],
)
def test_keys_of_another_form_are_refused_without_showing_them(keys: str) -> None:
    (problem,) = problems(KEYS=keys)

    assert problem.startswith("ENGAGEMENT_KEYS must be id:key, several separated by commas;")
    assert KEY not in problem


def test_two_keys_with_one_id_are_refused() -> None:
    assert problems(KEYS=f"k1:{KEY},k1:{OTHER_KEY}") == (
        "ENGAGEMENT_KEYS must not have two keys with the same id.",
    )


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://api.outreach.io/api/v2", "must begin with https://, since credentials are sent"),
        ("http://127.0.0.1.example.com", "must begin with https://, since credentials are sent"),
        ("api.outreach.io", "must be a URL that begins with https://"),
        ("https://", "must be a URL that begins with https://"),
        ("ftp://api.outreach.io", "must be a URL that begins with https://"),
        ("https://user:hush@api.outreach.io", "must have no user, query or fragment"),
        ("https://@api.outreach.io", "must have no user, query or fragment"),
        ("https://api.outreach.io?x=1", "must have no user, query or fragment"),
        ("https://api.outreach.io?", "must have no user, query or fragment"),
        ("https://api.outreach.io#x", "must have no user, query or fragment"),
        ("https://api.outreach.io:port", "must be a URL"),
        ("https://[::1", "must be a URL"),
        ("https://api.outreach.io/a b", "must be a URL of printable ASCII characters"),
        ("https://api.outreach.io/a\nb", "must be a URL of printable ASCII characters"),
        ("https://äpi.outreach.io", "must be a URL of printable ASCII characters"),
    ],
)
def test_urls_that_credentials_must_not_be_sent_to_are_refused(url: str, problem: str) -> None:
    (said,) = problems(OUTREACH_API_URL=url)

    assert said.startswith(f"ENGAGEMENT_OUTREACH_API_URL {problem}")
    assert "hush" not in said


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("OUTREACH_SETTLE_SECONDS", "3600.5", "must be a number of seconds from 0 to 3600."),
        ("REQUIRE_REQUEST_ID", "1", "must be true or false."),
        ("REFLECTION", "yes", "must be true or false."),
        ("LOG_LEVEL", "loud", "must be one of debug, info, warning, error."),
        ("REQUESTS_IN_FLIGHT_MAX", "0", "must be a whole number from 1 to 100000."),
        ("REQUESTS_IN_FLIGHT_MAX", "100001", "must be a whole number from 1 to 100000."),
        ("REQUESTS_IN_FLIGHT_MAX", "1.5", "must be a whole number from 1 to 100000."),
        ("REQUESTS_IN_FLIGHT_MAX", "9" * 5000, "must be a whole number from 1 to 100000."),
        ("GRACE_SECONDS", "-1", "must be a number of seconds from 0 to 3600."),
        ("GRACE_SECONDS", "nan", "must be a number of seconds from 0 to 3600."),
        ("GRACE_SECONDS", "inf", "must be a number of seconds from 0 to 3600."),
        ("GRACE_SECONDS", "5s", "must be a number of seconds from 0 to 3600."),
    ],
)
def test_other_forms_are_refused(name: str, text: str, problem: str) -> None:
    assert problems(**{name: text}) == (f"ENGAGEMENT_{name} {problem}",)


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"MAX": "100"}, {"PER_PROVIDER_MAX (200)": "MAX (100)"}),
        ({"PER_CONNECTION_MAX": "201"}, {"PER_CONNECTION_MAX (201)": "PER_PROVIDER_MAX (200)"}),
        (
            {"MAX": "1", "PER_PROVIDER_MAX": "2", "PER_CONNECTION_MAX": "3"},
            {"PER_PROVIDER_MAX (2)": "MAX (1)", "PER_CONNECTION_MAX (3)": "PER_PROVIDER_MAX (2)"},
        ),
    ],
)
def test_a_share_that_is_larger_than_the_whole_is_a_problem(
    limits: dict[str, str], named: dict[str, str]
) -> None:
    prefix = "ENGAGEMENT_REQUESTS_IN_FLIGHT_"
    said = problems(**{f"REQUESTS_IN_FLIGHT_{name}": text for name, text in limits.items()})
    assert said == tuple(
        f"{prefix}{share} must not be more than {prefix}{whole}." for share, whole in named.items()
    )


def test_an_unknown_variable_is_a_problem_even_when_it_is_empty() -> None:
    assert problems(LISTN="x", DATABSE="") == (
        "ENGAGEMENT_DATABSE is no setting; the nearest that is one is ENGAGEMENT_DATABASE.",
        "ENGAGEMENT_LISTN is no setting; the nearest that is one is ENGAGEMENT_LISTEN.",
    )


@pytest.mark.parametrize("provider", ["OUTREACH", "SALESLOFT"])
def test_half_an_oauth_application_is_refused(provider: str) -> None:
    both = f"give both ENGAGEMENT_{provider}_CLIENT_ID and ENGAGEMENT_{provider}_CLIENT_SECRET."

    assert problems(**{f"{provider}_CLIENT_ID": "id"}) == (
        f"ENGAGEMENT_{provider}_CLIENT_SECRET is missing; {both}",
    )
    assert problems(**{f"{provider}_CLIENT_SECRET": "hush"}) == (
        f"ENGAGEMENT_{provider}_CLIENT_ID is missing; {both}",
    )


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as failed:
        Settings.from_environment(
            {
                "ENGAGEMENT_LISTEN": "0.0.0.0:1",
                "ENGAGEMENT_REFLECTION": "maybe",
                "ENGAGEMENT_COLOUR": "blue",
                "ENGAGEMENT_OUTREACH_CLIENT_ID": "id",
                "ENGAGEMENT_TLS_KEY": "tls.key",
            }
        )

    first_words = [problem.split()[0] for problem in failed.value.problems]
    assert first_words == [
        "ENGAGEMENT_COLOUR",
        "ENGAGEMENT_KEYS",
        "ENGAGEMENT_REFLECTION",
        "ENGAGEMENT_OUTREACH_CLIENT_SECRET",
        "ENGAGEMENT_TLS_CERTIFICATE",
        "ENGAGEMENT_LISTEN",
    ]
    assert str(failed.value).splitlines() == list(failed.value.problems)


def test_settings_do_not_print_their_secrets() -> None:
    settings = read(
        DATABASE="postgresql://app:hush@db.example/engagement",
        OUTREACH_CLIENT_ID="id",
        OUTREACH_CLIENT_SECRET="hush",
    )

    assert KEY not in repr(settings)
    assert "hush" not in repr(settings)


def test_the_table_for_the_documentation_has_a_row_for_each_setting() -> None:
    rows = [[cell.strip() for cell in row.split("|")] for row in settings_table().splitlines()]

    assert len(rows) == 31
    assert all(len(row) == 5 and row[3] for row in rows)
    cells = {row[1]: row[2] for row in rows}
    assert cells["`ENGAGEMENT_LISTEN`"] == "`127.0.0.1:50051`"
    assert cells["`ENGAGEMENT_KEYS`"] == "required"
    assert cells["`ENGAGEMENT_OUTREACH_CLIENT_ID`"] == "not set"
