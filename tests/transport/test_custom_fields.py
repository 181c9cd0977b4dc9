"""Fields for the provider's own object: what goes through, and what is refused with its path."""

import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from tests.transport.stand_in import Api, email_request, step_request
from tests.transport.wire import bytes_field

PATH = "step.custom_fields"
FINITE = "Must be a finite number."
TOO_GREAT = "Must be below 2^53, since above it digits get lost; send it as a string."
TOO_DEEP = "Must be at most 5 levels deep, counting objects and lists."
TOO_LARGE = "Must be at most 32768 bytes as JSON."
TOO_MANY_KEYS = "Must have at most 50 keys in all, those of inner objects included."


def struct(value: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(value)
    return made


def nested(levels: int) -> dict[str, Any]:
    """An object of so many levels."""
    return {"a": nested(levels - 1)} if levels > 1 else {"a": 1}


@pytest.mark.parametrize(
    ("value", "field", "description"),
    [
        pytest.param({"x": math.nan}, f"{PATH}.x", FINITE, id="nan"),
        pytest.param({"x": math.inf}, f"{PATH}.x", FINITE, id="infinity"),
        pytest.param({"x": -math.inf}, f"{PATH}.x", FINITE, id="minus_infinity"),
        pytest.param({"x": 2.0**53}, f"{PATH}.x", TOO_GREAT, id="two_to_the_53"),
        pytest.param({"x": -(2.0**53)}, f"{PATH}.x", TOO_GREAT, id="minus_two_to_the_53"),
        pytest.param({"x": 1e308}, f"{PATH}.x", TOO_GREAT, id="huge"),
        pytest.param(
            {"a": {"b": [0, {"c": math.nan}]}}, f"{PATH}.a.b[1].c", FINITE, id="nan_deep_inside"
        ),
        pytest.param({"": 1}, PATH, "Has an empty key.", id="empty_key"),
        pytest.param({"a": {"": 1}}, f"{PATH}.a", "Has an empty key.", id="empty_key_inside"),
        pytest.param(nested(6), f"{PATH}.a.a.a.a.a", TOO_DEEP, id="six_levels"),
        pytest.param(
            {"a": [[[[[]]]]]}, f"{PATH}.a[0][0][0][0]", TOO_DEEP, id="six_levels_of_lists"
        ),
        pytest.param({str(i): i for i in range(51)}, PATH, TOO_MANY_KEYS, id="51_keys"),
        pytest.param(
            {"a": {str(i): i for i in range(25)}, "b": {str(i): i for i in range(25)}},
            PATH,
            TOO_MANY_KEYS,
            id="52_keys_in_all",
        ),
        pytest.param({"x": "a" * 32_761}, PATH, TOO_LARGE, id="one_byte_over_32_kib"),
        pytest.param({"x": "é" * 16_384}, PATH, TOO_LARGE, id="over_32_kib_in_utf_8"),
        pytest.param({"x": [0] * 16_384}, PATH, TOO_LARGE, id="a_long_list_of_small_values"),
    ],
)
async def test_what_json_or_the_limits_forbid_is_refused_with_its_path(
    api: Api, value: dict[str, Any], field: str, description: str
) -> None:
    failure = await api.refused(step_request(custom_fields=struct(value)))

    assert failure.reason == "INVALID_FIELD"
    assert failure.violations == {field: description}


async def test_a_value_without_a_kind_is_refused(api: Api) -> None:
    fields = Struct(fields={"x": Value(list_value=ListValue(values=[Value()]))})
    failure = await api.refused(step_request(custom_fields=fields))

    assert failure.violations == {
        f"{PATH}.x[0]": "Has no value; send a null value if that is meant."
    }


async def test_a_long_list_of_wrong_values_ends_early(api: Api) -> None:
    failure = await api.refused(step_request(custom_fields=struct({"x": [math.nan] * 1000})))

    assert failure.violations[f"{PATH}.x[0]"] == FINITE
    assert len(failure.violations) <= 20


async def test_nesting_that_protobuf_itself_refuses_is_no_valid_message(api: Api) -> None:
    fields = b""
    for _ in range(40):
        entry = bytes_field(1, b"a") + bytes_field(2, bytes_field(5, fields))
        fields = bytes_field(1, entry)
    step = step_request().step.SerializeToString() + bytes_field(9, fields)
    failure = await api.failed(bytes_field(1, b"7") + bytes_field(2, step))

    assert api.application.calls == []
    assert failure.reason == "INVALID_FIELD"
    assert failure.violations == {}
    assert "nested too deep" in failure.message


async def test_a_key_is_shown_cleaned_and_in_part(api: Api) -> None:
    failure = await api.refused(step_request(custom_fields=struct({"\n" + "k" * 99: math.nan})))

    assert list(failure.violations) == [f"{PATH}.\ufffd{'k' * 39}…"]


async def test_the_template_has_fields_of_its_own(api: Api) -> None:
    failure = await api.refused(email_request(custom_fields=struct({"x": math.inf})))

    assert failure.violations == {"step.template.content.custom_fields.x": FINITE}


async def test_what_is_within_the_limits_arrives_as_json_has_it(api: Api) -> None:
    value = {
        "text": "é\n",
        "whole": 3.0,
        "greatest": 2.0**53 - 1,
        "least": 1 - 2.0**53,
        "minus_zero": -0.0,
        "part": 0.5,
        "yes": True,
        "nothing": None,
        "list": [1.0, "a", [], {}],
        "deep": {"b": {"c": {"d": {"e": 5}}}},
    }
    await api.create(step_request(custom_fields=struct(value)))

    (call,) = api.application.calls
    fields = call.request.step.custom_fields
    assert repr(fields) == repr(
        {
            "deep": {"b": {"c": {"d": {"e": 5}}}},
            "greatest": 9007199254740991,
            "least": -9007199254740991,
            "list": [1, "a", [], {}],
            "minus_zero": 0,
            "nothing": None,
            "part": 0.5,
            "text": "é\n",
            "whole": 3,
            "yes": True,
        }
    )


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"x": "a" * 32_760}, id="32_kib_exactly"),
        pytest.param({str(i): i for i in range(50)}, id="50_keys"),
        pytest.param(nested(5), id="five_levels"),
    ],
)
async def test_limits_are_inclusive(api: Api, value: dict[str, Any]) -> None:
    await api.create(step_request(custom_fields=struct(value)))

    (call,) = api.application.calls
    assert call.request.step.custom_fields == value


async def test_an_object_without_fields_is_none(api: Api) -> None:
    await api.create(step_request(custom_fields=Struct()))

    (call,) = api.application.calls
    assert call.request.step.custom_fields == {}
