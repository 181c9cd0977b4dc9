"""What a PromQL expression asks for, compared with what the service exposes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import promql_parser
from promql_parser import AggregateExpr, MatchOp, VectorSelector

from service.domain.provider_call import CallKind
from service.providers.registry import PROVIDERS
from service.telemetry.metrics import CALL_OUTCOMES
from service.transport.metrics_server import UNSETTLED_STATES
from tests.telemetry.stage import Samples

Exposed = Mapping[str, Mapping[str, frozenset[str]]]
"""The values that each label of each metric may have, by the names of both."""

OF_PROMETHEUS: Final = ("job", "instance")
"""Labels that each sample gets where it is scraped."""

MADE_BY_PROMETHEUS: Final[Exposed] = {
    "up": {},
    "ALERTS": {
        "alertname": frozenset(),
        "alertstate": frozenset({"pending", "firing"}),
        "severity": frozenset({"critical", "warning"}),
    },
}

POSSIBLE: Final[Mapping[str, frozenset[str]]] = {
    "provider": frozenset(PROVIDERS),
    "grpc_status": frozenset(code.name for code in grpc.StatusCode),
    "kind": frozenset(CallKind),
    "outcome": frozenset(CALL_OUTCOMES),
    "state": frozenset(UNSETTLED_STATES),
    "next_look": frozenset({"scheduled", "none"}),
}
"""Values that a series has when it has happened; counters have theirs from the start."""


def exposed_by(samples: Samples) -> Exposed:
    """Return what a scrape has, and what Prometheus adds."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, labels in samples:
        of_metric = found.setdefault(name, {})
        for label, value in labels:
            of_metric.setdefault(label, set()).add(value)
    ours = {
        name: {
            label: frozenset(values)
            | (frozenset() if name.endswith("_total") else POSSIBLE.get(label, frozenset()))
            for label, values in labels.items()
        }
        for name, labels in found.items()
    }
    return {**MADE_BY_PROMETHEUS, **ours}


@dataclass(frozen=True)
class Expression:
    """One expression, taken apart."""

    selectors: tuple[VectorSelector, ...]
    groupings: tuple[frozenset[str], ...]
    """The labels of each aggregation, the outermost first."""

    @property
    def metrics(self) -> frozenset[str]:
        """The names of what it reads."""
        return frozenset(str(each.name) for each in self.selectors)

    def result_labels(self, exposed: Exposed) -> frozenset[str]:
        """Return the labels that its result may have."""
        if self.groupings:
            return self.groupings[0]
        return frozenset(OF_PROMETHEUS).union(*(exposed[name] for name in self.metrics))

    def mistakes(self, exposed: Exposed) -> list[str]:
        """Say what of it is nothing that the service exposes."""
        unknown = sorted(self.metrics - exposed.keys())
        if unknown:
            return [f"no metric {name}" for name in unknown]
        known = frozenset(OF_PROMETHEUS).union(*(exposed[name] for name in self.metrics))
        groups = sorted(frozenset().union(*self.groupings) - known)
        return [
            *(f"no label {label} to group by" for label in groups),
            *(mistake for each in self.selectors for mistake in _mistakes(each, exposed)),
        ]


def expression(text: str) -> Expression:
    """Parse an expression; what is no PromQL fails."""
    selectors: list[VectorSelector] = []
    groupings: list[frozenset[str]] = []

    def visit(part: Any) -> None:
        if isinstance(part, VectorSelector):
            selectors.append(part)
        elif isinstance(part, AggregateExpr):
            groupings.append(frozenset(part.modifier.labels if part.modifier else ()))

    promql_parser.walk(promql_parser.parse(text), visit)
    return Expression(tuple(selectors), tuple(groupings))


def _mistakes(selector: VectorSelector, exposed: Exposed) -> Iterator[str]:
    labels = exposed[str(selector.name)]
    for matcher in selector.matchers.matchers:
        if matcher.name in OF_PROMETHEUS:
            continue
        assert matcher.op in (MatchOp.Equal, MatchOp.Re), "say how to look at this"
        if matcher.name not in labels:
            yield f"{selector.name} has no label {matcher.name}"
            continue
        is_pattern = matcher.op == MatchOp.Re
        for wanted in matcher.value.split("|") if is_pattern else [matcher.value]:
            pattern = wanted if is_pattern else re.escape(wanted)
            if not any(re.fullmatch(pattern, value) for value in labels[matcher.name]):
                yield f"{selector.name} has no {matcher.name} {wanted}"
