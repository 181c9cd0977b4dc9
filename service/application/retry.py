"""The retry decision: what one attempt means, and whether the same call is sent again.

Pure: whoever calls it counts the attempts, knows the time that is left, and rolls the dice.
"""

import enum

from service.domain.provider_call import ProviderAnswer

NOT_SENT_REPEATS_MAX = 2
TURNED_AWAY_REPEATS_MAX = 1
UNAUTHENTICATED_REPEATS_MAX = 1
LOST_REPEATS_MAX = 3
PAUSE_SECONDS_MIN = 0.2
"""The first pause; it doubles with each repeat, less up to a half of it at random."""

TURNED_AWAY_WAIT_SECONDS_MAX = 5.0
"""A longer wait is given back to the caller."""


class Meaning(enum.Enum):
    """What one attempt of a call, answered or not, says about its effect."""

    DONE = "answered with 2xx"
    NOT_SENT = "no byte reached the provider"
    LOST = "the provider may have acted, and did not say"
    TURNED_AWAY = "refused for now, nothing was done"
    UNAUTHENTICATED = "the credential was refused, nothing was done"
    REFUSED = "refused, nothing was done"


WITHOUT_EFFECT = frozenset(Meaning) - {Meaning.DONE, Meaning.LOST}
"""After these the provider is as it was before the attempt."""

_REPEATS_MAX = {
    Meaning.DONE: 0,
    Meaning.NOT_SENT: NOT_SENT_REPEATS_MAX,
    Meaning.LOST: LOST_REPEATS_MAX,
    Meaning.TURNED_AWAY: TURNED_AWAY_REPEATS_MAX,
    Meaning.UNAUTHENTICATED: UNAUTHENTICATED_REPEATS_MAX,
    Meaning.REFUSED: 0,
}


def meaning_of(answer: ProviderAnswer, *, is_maintenance: bool) -> Meaning:
    """Return what an answer's status says.

    A 5xx says nothing: it may come from a gateway after the provider acted. Only a 503 that the
    vendor documents as maintenance is a refusal.
    """
    match answer.status:
        case status if 200 <= status <= 299:  # noqa: PLR2004 - HTTP's own classes
            return Meaning.DONE
        case 401:
            return Meaning.UNAUTHENTICATED
        case 429:
            return Meaning.TURNED_AWAY
        case 503 if is_maintenance:
            return Meaning.TURNED_AWAY
        case status if status == 408 or status >= 500:  # noqa: PLR2004
            return Meaning.LOST
        case _:
            return Meaning.REFUSED


def pause_before_repeat(  # noqa: PLR0913 - the decision depends on nothing else, and on all of it
    meaning: Meaning,
    *,
    earlier: int,
    repeatable: bool,
    wait_seconds: float,
    left_seconds: float,
    dice: float,
) -> float | None:
    """Return how long to wait before the same call is sent again; None to stop.

    `earlier` counts the attempts with this meaning before this one; `wait_seconds` is what the
    provider asks for when it turned the call away; `dice` is between 0 and 1.
    """
    if earlier >= _REPEATS_MAX[meaning] or (meaning is Meaning.LOST and not repeatable):
        return None
    match meaning:
        case Meaning.UNAUTHENTICATED:
            # Nothing is waited for, so it is not a question of time.
            return 0.0
        case Meaning.TURNED_AWAY:
            pause = wait_seconds
            if pause > TURNED_AWAY_WAIT_SECONDS_MAX:
                return None
        case _:
            pause = PAUSE_SECONDS_MIN * 2**earlier * (1 - dice / 2)
    return pause if pause < left_seconds else None
