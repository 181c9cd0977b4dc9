"""What a benchmark found: numbers with their spread, and lines for people."""

import os
import platform
import re
import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Spread:
    """The middle of some numbers, and between which two the middle half of them lies."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Iterable[float]) -> "Spread":
        """Return that of at least two numbers."""
        low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
        return cls(median, low, high)

    def shown(self, digits: int = 0) -> str:
        """Return it for a person."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


@dataclass(frozen=True)
class Round:
    """What some requests to one service cost."""

    requests: int
    elapsed_seconds: float
    server_cpu_seconds: float
    vendor_cpu_seconds: float
    others_busy_seconds: float
    """Of all processors but the server's."""

    @property
    def cpu_us(self) -> float:
        """The server's processor time a request."""
        return self.server_cpu_seconds * 1e6 / self.requests

    @property
    def requests_per_second(self) -> float:
        """How many requests were answered."""
        return self.requests / self.elapsed_seconds


@dataclass
class Costs:
    """What requests to one service cost, in several rounds."""

    rounds: list[Round] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """How long each request took that was answered with a step."""

    step_ids: set[str] = field(default_factory=set)
    errors: int = 0

    @property
    def requests(self) -> int:
        """How many requests were answered, with a step or without."""
        return len(self.seconds) + self.errors

    @property
    def cpu_us(self) -> Spread:
        """The server's processor time a request."""
        return Spread.of(each.cpu_us for each in self.rounds)

    @property
    def requests_per_second(self) -> Spread:
        """How many requests were answered."""
        return Spread.of(each.requests_per_second for each in self.rounds)

    @property
    def vendor_us(self) -> float:
        """The vendor's processor time a request."""
        return statistics.median(
            each.vendor_cpu_seconds * 1e6 / each.requests for each in self.rounds
        )

    @property
    def server_busy(self) -> float:
        """The share of the time in which the server used its processor."""
        return sum(each.server_cpu_seconds for each in self.rounds) / self._elapsed_seconds

    @property
    def others_busy(self) -> float:
        """The share of the time in which the other processors were in use, added up."""
        return sum(each.others_busy_seconds for each in self.rounds) / self._elapsed_seconds

    def for_programs(self) -> dict[str, object]:
        """Return what the tables say."""
        return {
            "cpu_us": asdict(self.cpu_us),
            "requests_per_second": asdict(self.requests_per_second),
            "p50_ms": self.quantile_ms(50),
            "p99_ms": self.quantile_ms(99),
            "errors": self.errors,
            "server_busy": self.server_busy,
            "others_busy": self.others_busy,
            "vendor_us": self.vendor_us,
        }

    def quantile_ms(self, percent: int) -> float:
        """Return how long so many of a hundred requests take at most."""
        return statistics.quantiles(self.seconds, n=100)[percent - 1] * 1000

    @property
    def _elapsed_seconds(self) -> float:
        return sum(each.elapsed_seconds for each in self.rounds)


def cpu_ratio(costs: Costs, reference: Costs) -> Spread:
    """Compare the processor time of two services that were measured in turn, round by round."""
    pairs = zip(costs.rounds, reference.rounds, strict=True)
    return Spread.of(ours.cpu_us / theirs.cpu_us for ours, theirs in pairs)


def at_most(found: float, limit: float) -> str:
    """Say whether a number is within its target."""
    return f"{'within' if found <= limit else 'MORE THAN'} {limit:g}"


def nested(flat: Mapping[str, object]) -> dict[str, object]:
    """Make an object of what has the same name before a point: `a.b` and `a.c` are in `a`."""
    objects: dict[str, object] = {}
    for name, value in flat.items():
        outer, point, inner = name.partition(".")
        if point:
            parts = objects.setdefault(outer, {})
            assert isinstance(parts, dict)
            parts[inner] = value
        else:
            objects[outer] = value
    return objects


def machine() -> dict[str, object]:
    """Return where numbers are from, and how busy it is."""
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def say(line: str) -> None:
    """Tell a person."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
