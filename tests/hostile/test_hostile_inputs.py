"""The table of hostile inputs, each carried out against the whole service on real sockets."""

from collections.abc import AsyncIterator, Mapping

import pytest

from tests.hostile.attack import Attack
from tests.hostile.attacks_of_callers import CALLERS
from tests.hostile.attacks_of_providers import PROVIDERS
from tests.hostile.attacks_of_token_endpoints import TOKEN_ENDPOINTS
from tests.hostile.stage import Ended, Stage, expected_fields, stage

TABLE: Mapping[str, Mapping[str, Attack]] = {**CALLERS, **PROVIDERS, **TOKEN_ENDPOINTS}
ROWS_MIN = 120


@pytest.fixture(scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        async with stage(tmp_path_factory.mktemp("hostile"), patch) as ready:
            yield ready


def test_the_table_is_as_long_as_it_should_be() -> None:
    counts = {group: len(rows) for group, rows in TABLE.items()}
    print(counts, "in all", sum(counts.values()))  # noqa: T201 - for the reader
    assert sum(counts.values()) >= ROWS_MIN


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, rows in TABLE.items() for name in rows]
)
async def test_hostile(service: Stage, group: str, name: str) -> None:
    attack = TABLE[group][name]

    ended = await service.carry_out(attack)

    assert ended.ends == expected_fields(attack.ends), ended.message
    assert ended.account.writes == attack.writes
    assert attack.requests in (None, len(ended.account.requests))
    if attack.reaches_vendor:
        assert attack.reaches_vendor in b"".join(sent.body for sent in ended.account.requests)
    _check_wait(attack, ended)
    service.check_always(ended)
    if ended.failure is not None and attack.ends.reason:
        assert ended.failure.domain == "engagement.v1"
    assert await service.serves()


def _check_wait(attack: Attack, ended: Ended) -> None:
    if attack.retry_within_seconds is None:
        return
    least, most = attack.retry_within_seconds
    assert ended.failure is not None
    assert ended.failure.retry_seconds is not None
    assert least <= ended.failure.retry_seconds <= most
