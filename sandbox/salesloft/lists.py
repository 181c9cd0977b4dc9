"""Salesloft's list of steps: filters, sorting and paging.

[spec] filters `ids`, `cadence_id`, `type`, `has_due_actions`; `sort_by` created_at or updated_at;
`per_page` 1 to 100, default 25. [doc] unknown filter names are ignored without a word; a bad filter
or sort value is 422. [unknown] the exact members of `metadata` beyond the public example.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.messages import Request
    from sandbox.salesloft.records import Step

PER_PAGE_DEFAULT = 25
PER_PAGE_MOST = 100
PAGE_MOST = 1_000_000
DEAREST_COST = 30
_COSTS = ((100, 1), (150, 3), (250, 8), (500, 10))
_SORTS = ("created_at", "updated_at")
_DIRECTIONS = ("ASC", "DESC")
_BOOLEANS = ("true", "false")


@dataclass(slots=True)
class StepQuery:
    """The parameters of a list of steps; `failures` says what is wrong with them."""

    ids: set[int] = field(default_factory=set)
    cadence_id: int | None = None
    type: str | None = None
    has_due_actions: bool | None = None
    sort_by: str = "updated_at"
    sort_direction: str = "DESC"
    per_page: int = PER_PAGE_DEFAULT
    page: int = 1
    include_paging_counts: bool = False
    filtering: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)


def read_query(request: Request) -> StepQuery:
    """Takes the parameters apart; names that are not known leave no trace."""
    query = StepQuery()
    for given_name, value in request.query:
        name = given_name.removesuffix("[]")
        try:
            _read_parameter(query, name, value)
        except ValueError:
            query.failures[name] = ["is invalid"]
    return query


def _read_parameter(query: StepQuery, name: str, value: str) -> None:
    match name:
        case "ids" | "cadence_id" | "type" | "has_due_actions":
            _read_filter(query, name, value)
        case "sort_by":
            query.sort_by = _one_of(value, _SORTS)
        case "sort_direction":
            query.sort_direction = _one_of(value.upper(), _DIRECTIONS)
        case "per_page":
            query.per_page = _one_of(int(value), range(1, PER_PAGE_MOST + 1))
        case "page":
            query.page = _one_of(int(value), range(1, PAGE_MOST + 1))
        case "include_paging_counts":
            query.include_paging_counts = _one_of(value, _BOOLEANS) == "true"


def _read_filter(query: StepQuery, name: str, value: str) -> None:
    match name:
        case "ids":
            query.ids.update(int(part) for part in value.split(","))
            query.filtering[name] = sorted(query.ids)
        case "cadence_id":
            query.cadence_id = query.filtering[name] = int(value)
        case "type":
            query.type = query.filtering[name] = value
        case "has_due_actions":
            query.has_due_actions = query.filtering[name] = _one_of(value, _BOOLEANS) == "true"


def _one_of(value: Any, choices: Iterable[Any]) -> Any:
    if value not in choices:
        raise ValueError(value)
    return value


def page(query: StepQuery, candidates: Iterable[Step]) -> tuple[list[Step], dict[str, Any]]:
    """Filters, sorts and cuts; returns the steps of the page and the answer's `metadata`."""
    found = [step for step in candidates if _fits(query, step)]
    found.sort(
        key=lambda step: (getattr(step, query.sort_by), step.id),
        reverse=query.sort_direction == "DESC",
    )
    start = (query.page - 1) * query.per_page
    end = start + query.per_page
    paging: dict[str, Any] = {
        "per_page": query.per_page,
        "current_page": query.page,
        "next_page": query.page + 1 if end < len(found) else None,
        "prev_page": query.page - 1 if query.page > 1 else None,
    }
    if query.include_paging_counts:
        paging["total_pages"] = -(-len(found) // query.per_page)
        paging["total_count"] = len(found)
    sorting = {
        "sort_by": query.sort_by,
        "sort_direction": f"{query.sort_direction} NULLS LAST",
    }
    metadata = {"filtering": query.filtering, "paging": paging, "sorting": sorting}
    return found[start:end], metadata


def page_cost(request: Request) -> int:
    """Cost points of a request [doc]: deep pages are dear."""
    page_number = read_query(request).page if request.query else 1
    for last_page, cost in _COSTS:
        if page_number <= last_page:
            return cost
    return DEAREST_COST


def _fits(query: StepQuery, step: Step) -> bool:
    return (
        (not query.ids or step.id in query.ids)
        and (query.cadence_id is None or step.cadence.id == query.cadence_id)
        and (query.type is None or step.type == query.type)
        and not query.has_due_actions  # Nobody is ever enrolled here, so no action is due.
    )
