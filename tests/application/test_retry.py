"""What an attempt means, and whether and when the same call is sent again: every combination."""

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.application.retry import Meaning, meaning_of, pause_before_repeat
from service.domain.provider_call import ProviderAnswer

PAUSE_SECONDS_MAX = 5.0
"""No pause is longer than the wait that a provider may ask for."""

REPEATS_MAX = {
    Meaning.DONE: 0,
    Meaning.NOT_SENT: 2,
    Meaning.LOST: 3,
    Meaning.TURNED_AWAY: 1,
    Meaning.UNAUTHENTICATED: 1,
    Meaning.REFUSED: 0,
}


def _meanings(*, is_maintenance: bool) -> dict[int, Meaning]:
    return {
        status: meaning_of(ProviderAnswer(status, {}), is_maintenance=is_maintenance)
        for status in range(100, 600)
    }


def test_every_status_has_its_meaning() -> None:
    expected = dict.fromkeys(range(100, 600), Meaning.REFUSED)
    expected |= dict.fromkeys(range(200, 300), Meaning.DONE)
    expected |= dict.fromkeys((408, *range(500, 600)), Meaning.LOST)
    expected |= {401: Meaning.UNAUTHENTICATED, 429: Meaning.TURNED_AWAY}
    assert expected == _meanings(is_maintenance=False)


def test_only_a_503_can_be_maintenance() -> None:
    normally, in_maintenance = _meanings(is_maintenance=False), _meanings(is_maintenance=True)
    differing = {status for status in normally if normally[status] is not in_maintenance[status]}
    assert differing == {503}
    assert in_maintenance[503] is Meaning.TURNED_AWAY


def test_every_decision_in_reach() -> None:
    waits = (0.0, 0.5, 4.999, 5.0, 5.001, 60.0, 86_400.0)
    lefts = (-10.0, 0.0, 0.05, 1.0, 5.0, 90.0)
    cases = list(itertools.product(Meaning, range(6), (True, False), waits, lefts, (0.0, 0.5, 1.0)))
    stopped: Counter[Meaning] = Counter()
    for meaning, earlier, repeatable, wait_seconds, left_seconds, dice in cases:
        pause = pause_before_repeat(
            meaning,
            earlier=earlier,
            repeatable=repeatable,
            wait_seconds=wait_seconds,
            left_seconds=left_seconds,
            dice=dice,
        )
        is_used_up = earlier >= REPEATS_MAX[meaning]
        is_a_guess = meaning is Meaning.LOST and not repeatable
        is_too_long = meaning is Meaning.TURNED_AWAY and wait_seconds > PAUSE_SECONDS_MAX
        case = (meaning, earlier, repeatable, wait_seconds, left_seconds, dice)
        if is_used_up or is_a_guess or is_too_long:
            assert pause is None, case
        if pause is None:
            stopped[meaning] += 1
        else:
            assert 0 <= pause <= PAUSE_SECONDS_MAX, case
            assert pause < left_seconds or meaning is Meaning.UNAUTHENTICATED, case
    print(f"{len(cases)} decisions, of which stop: {dict(stopped)}")  # noqa: T201 - for the reader


@given(
    repeatable=st.booleans(),
    wait_seconds=st.floats(0, 86_400),
    left_seconds=st.floats(0, 90),
    rolls=st.lists(st.floats(0, 1), min_size=20, max_size=20),
    meanings=st.lists(st.sampled_from(Meaning), min_size=20, max_size=20),
)
def test_a_call_is_sent_a_bounded_number_of_times_within_its_time(
    *,
    repeatable: bool,
    wait_seconds: float,
    left_seconds: float,
    rolls: list[float],
    meanings: list[Meaning],
) -> None:
    earlier: Counter[Meaning] = Counter()
    waited_seconds = 0.0
    for meaning, dice in zip(meanings, rolls, strict=True):
        pause = pause_before_repeat(
            meaning,
            earlier=earlier[meaning],
            repeatable=repeatable,
            wait_seconds=wait_seconds,
            left_seconds=left_seconds - waited_seconds,
            dice=dice,
        )
        if pause is None:
            break
        assert pause >= 0
        waited_seconds += pause
        earlier[meaning] += 1
    assert earlier.total() <= sum(REPEATS_MAX.values())
    assert waited_seconds <= left_seconds
    assert repeatable or not earlier[Meaning.LOST]


@given(dice=st.floats(0, 1), earlier=st.integers(0, 1))
def test_pauses_grow_and_are_spread_at_random(dice: float, earlier: int) -> None:
    def pause(earlier: int, dice: float) -> float:
        found = pause_before_repeat(
            Meaning.NOT_SENT,
            earlier=earlier,
            repeatable=False,
            wait_seconds=0,
            left_seconds=60,
            dice=dice,
        )
        assert found is not None
        return found

    longest = 0.2 * 2**earlier
    assert longest / 2 <= pause(earlier, dice) <= longest
