"""How bad things are in one world: how often each kind of fault happens.

Every world has only some of the kinds, since a fault that happens all the time hides another.
"""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Weather:
    """Shares of the occasions at which something goes wrong."""

    crash: float
    freeze: float
    outage: float
    store_fault: float
    slow_store: float
    read_fault: float
    write_fault: float
    shown_late: float
    token_expiry: float
    person_adds: float
    person_edits: float
    """Of the new steps: how many a person alters or removes."""

    requests_in_flight_max: int
    """Of one replica."""

    leaving: float
    vendor_too_slow: float
    """Of the writes that are applied late: how many later than the vendor is trusted to."""


def weather(dice: random.Random) -> Weather:
    """Draw the weather of one world."""
    return Weather(
        crash=dice.choice([0, 0, 0.01, 0.04]),
        freeze=dice.choice([0, 0, 0.01, 0.05]),
        outage=dice.choice([0, 0, 0.01, 0.03]),
        store_fault=dice.choice([0, 0, 0.02, 0.1]),
        slow_store=dice.choice([0, 0, 0.1]),
        read_fault=dice.choice([0, 0.1, 0.4]),
        write_fault=dice.choice([0, 0.3, 0.8]),
        shown_late=dice.choice([0, 0.3, 0.9]),
        token_expiry=dice.choice([0, 0, 0.1]),
        person_adds=dice.choice([0, 0, 0.2, 0.6]),
        person_edits=dice.choice([0, 0, 0.2, 0.6]),
        requests_in_flight_max=dice.choice([100, 100, 2]),
        leaving=dice.choice([0, 0.2, 0.5]),
        vendor_too_slow=dice.choice([0] * 7 + [0.3]),
    )
