"""What is noted while a world runs: each event with its time, counts, and broken promises."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Notes:
    """The record of one world; the same seed gives the same one."""

    events: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    """What is neither: operations, and what the service cannot know better."""

    broken: list[str] = field(default_factory=list)
    """Promises that did not hold."""

    def add(self, other: "Notes") -> None:
        """Take in the counts of another world."""
        self.faults += other.faults
        self.outcomes += other.outcomes
        self.facts += other.facts

    def counts(self) -> str:
        """Return all counts, for a person."""
        listed = (
            (title, ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())))
            for title, counts in (
                ("Faults", self.faults),
                ("Answers", self.outcomes),
                ("Facts", self.facts),
            )
        )
        return "\n".join(f"{title}: {text}." for title, text in listed)

    def event(self, text: str) -> None:
        self.events.append(f"{asyncio.get_running_loop().time():10.3f}  {text}")

    def fault(self, kind: str, text: str = "") -> None:
        self.faults[kind] += 1
        self.event(f"! {kind} {text}".rstrip())

    def broke(self, promise: str) -> None:
        self.broken.append(promise)
        self.event(f"*** {promise}")
