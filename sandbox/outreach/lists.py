"""Outreach's lists: filters, sorting, includes and paging.

[spec] which attributes filter and sort; [code] filters by relationship, and the 400 for one that is
not supported; [doc] inclusive ranges (`a..b`, `inf`), cursor paging with `page[size]` (default 50),
`page[after]` and `links.next`, `count=false`. [unknown] the largest page (chosen: 1000), the order
without `sort` (chosen: by id), the form of the cursor and of `meta`; any other parameter is 400.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sandbox.outreach.errors import refused

if TYPE_CHECKING:
    from sandbox.messages import Request
    from sandbox.outreach.records import Record

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MOST = 1000

_ATTRIBUTE_FILTER = re.compile(r"filter\[(\w+)\]")
_PARENT_FILTER = re.compile(r"filter\[(\w+)\]\[id\]")

Parse = Callable[[str], Any]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment


@dataclass(frozen=True, slots=True)
class ListRules:
    """What one kind of list can do; `filters` also says how a value of the attribute is read."""

    filters: Mapping[str, Parse]
    parents: tuple[str, ...] = ()
    sorts: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()


_TIMES: Mapping[str, Parse] = {"createdAt": _moment, "updatedAt": _moment}
STEPS = ListRules(
    filters={**_TIMES, "date": date.fromisoformat, "order": int, "stepType": str},
    parents=("sequence",),
    sorts=("createdAt", "updatedAt", "date", "order", "stepType"),
    includes=("sequenceTemplates", "sequenceTemplates.template"),
)
LINKS = ListRules(filters={}, parents=("sequenceStep",))
TEMPLATES = ListRules(filters={"name": str})


@dataclass(slots=True)
class ListQuery:
    """A list's parameters, taken apart; `parent` is (relationship, id)."""

    parent: tuple[str, int] | None = None
    filters: list[Callable[[Record], bool]] | None = None
    sort: str | None = None
    descending: bool = False
    includes: tuple[str, ...] = ()
    page_size: int = PAGE_SIZE_DEFAULT
    after_id: int | None = None
    count: bool = True


def read_query(request: Request, rules: ListRules) -> ListQuery:
    """Takes the parameters of a list apart.

    Raises:
        RefusedError: 400, a parameter, filter or value that is not supported.
    """
    query = ListQuery(filters=[])
    for name, value in request.query:
        try:
            _read_parameter(query, rules, name, value)
        except ValueError as problem:
            raise refused(400, f"Unsupported value of {name}: {value}") from problem
    return query


def _read_parameter(query: ListQuery, rules: ListRules, name: str, value: str) -> None:
    parent = _PARENT_FILTER.fullmatch(name)
    attribute = _ATTRIBUTE_FILTER.fullmatch(name)
    if parent and parent[1] in rules.parents:
        query.parent = (parent[1], int(value))
    elif attribute and attribute[1] in rules.filters:
        assert query.filters is not None
        query.filters.append(_attribute_filter(attribute[1], rules.filters[attribute[1]], value))
    elif name == "sort":
        query.descending = value.startswith("-")
        query.sort = _one_of(value.removeprefix("-"), rules.sorts)
    elif name == "include":
        query.includes = tuple(_one_of(part, rules.includes) for part in value.split(","))
    elif name == "page[size]":
        query.page_size = _one_of(int(value), range(1, PAGE_SIZE_MOST + 1))
    elif name == "page[after]":
        query.after_id = _read_cursor(value)
    elif name == "count":
        query.count = _one_of(value, ("true", "false")) == "true"
    else:
        raise refused(400, f"Unsupported parameter: {name}")


def _one_of(value: Any, choices: Iterable[Any]) -> Any:
    if value not in choices:
        raise ValueError(value)
    return value


def _attribute_filter(name: str, parse: Parse, value: str) -> Callable[[Record], bool]:
    low_text, is_range, high_text = value.partition("..")
    if not is_range:
        high_text = low_text
    low = None if low_text == "neginf" else parse(low_text)
    high = None if high_text == "inf" else parse(high_text)

    def fits(record: Record) -> bool:
        text = record.attributes[name]
        if text is None:
            return False
        have = parse(str(text))
        return (low is None or low <= have) and (high is None or have <= high)

    return fits


def page(
    request: Request, query: ListQuery, candidates: Iterable[Record]
) -> tuple[list[Record], dict[str, Any]]:
    """Filters, sorts and cuts; returns the records of the page and the answer's `links`, `meta`.

    Raises:
        RefusedError: 400, the cursor names no record of the list.
    """
    found = [record for record in candidates if all(fits(record) for fits in query.filters or ())]
    if query.sort is not None:
        name = query.sort
        found.sort(
            key=lambda record: (record.attributes[name] is None, record.attributes[name]),
            reverse=query.descending,
        )
    start = 0
    if query.after_id is not None:
        ids = [record.id for record in found]
        if query.after_id not in ids:
            raise refused(400, "Unsupported value of page[after]")
        start = ids.index(query.after_id) + 1
    end = start + query.page_size
    frame: dict[str, Any] = {}
    if query.count:
        frame["meta"] = {"count": len(found), "count_truncated": False}
    if end < len(found):
        frame["links"] = {"next": _next_link(request, found[end - 1].id)}
    return found[start:end], frame


def _next_link(request: Request, last_id: int) -> str:
    kept = [(name, value) for name, value in request.query if name != "page[after]"]
    query = urlencode([*kept, ("page[after]", _write_cursor(last_id))])
    return f"{request.base_url}{request.path}?{query}"


def _write_cursor(record_id: int) -> str:
    return base64.urlsafe_b64encode(f"id:{record_id}".encode()).decode()


def _read_cursor(cursor: str) -> int:
    try:
        prefix, _, record_id = base64.urlsafe_b64decode(cursor).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as problem:
        raise ValueError(cursor) from problem
    _one_of(prefix, ("id",))
    return int(record_id)
