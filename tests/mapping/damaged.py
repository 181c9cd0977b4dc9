"""Answers that a broken or hostile provider could give."""

from collections.abc import Iterator

from service.domain.json_value import JsonObject, JsonValue

JUNK: tuple[JsonValue, ...] = (
    *(None, True, False, 0, -1, 1.5, float("nan"), float("inf"), 10**30),
    *("", "x", "9" * 5000, "../../admin", "http://[", "\ud800"),
    *([], [None], [[]], {}, {"id": "x"}),
)

HOSTILE_BODIES = (
    *(b"", b"null", b"[]", b"{}", b"\xff\xfe\x00", b"Service Unavailable", b'{"error":'),
    b"<html><head><title>404</title></head><body>nginx</body></html>",
    b"[" * 100_000,
    b'{"errors":{"a":1},"error":["x"],"message":{"text":1},"error_code":5}',
    b'{"errors":[null,1,"x",[],{"detail":7,"title":[],"source":{"pointer":[]}}]}',
    b'{"errors":[{"detail":"' + b"x" * 100_000 + b'"}],"error":"' + b"x" * 100_000 + b'"}',
    b'{"errors":[{"detail":"a\\u0000\\u202eb\\ud800"}],"error":"a\\u0000\\u202eb\\ud800"}',
)


def every_damage(answer: JsonObject) -> Iterator[JsonObject]:
    """Return the answer with one value at a time, at any depth, replaced by junk or left out."""
    for key, value in answer.items():
        yield {name: other for name, other in answer.items() if name != key}
        for damaged in _damaged_values(value):
            yield {**answer, key: damaged}


def _damaged_values(value: JsonValue) -> Iterator[JsonValue]:
    yield from JUNK
    if isinstance(value, dict):
        yield from every_damage(value)
    elif isinstance(value, list):
        for index, element in enumerate(value):
            for damaged in _damaged_values(element):
                yield [*value[:index], damaged, *value[index + 1 :]]
