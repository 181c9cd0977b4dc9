"""Requests at random, field by field: most of them parse, and get beyond the first check."""

from random import Random
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.domain.step import ProviderName
from tests.application.world import MODELS
from tests.fuzz import mutations

INT32 = range(-(2**31), 2**31)


def good_messages(provider: ProviderName) -> list[bytes]:
    """Return requests of every kind that the provider takes."""
    model = MODELS[provider]()
    content = step_pb2.TemplateContent(subject="Hello", body_html="<p>Hi</p>", name="Intro")
    inline = step_pb2.Template(content=content)
    linked = step_pb2.Template(id=model.template_id)  # type: ignore[attr-defined]
    steps = [
        step_pb2.SequenceStep(type=step_pb2.STEP_TYPE_CALL, task_note="Ask", interval_seconds=90),
        step_pb2.SequenceStep(type=step_pb2.STEP_TYPE_TASK, custom_fields=_small_struct()),
        step_pb2.SequenceStep(type=step_pb2.STEP_TYPE_AUTO_EMAIL, template=inline),
        step_pb2.SequenceStep(type=step_pb2.STEP_TYPE_AUTO_EMAIL, template=linked, is_reply=True),
        step_pb2.SequenceStep(type=step_pb2.STEP_TYPE_MANUAL_EMAIL, template=inline, order=1),
    ]
    requests = [
        service_pb2.CreateSequenceStepRequest(sequence_id=model.sequence_id, step=step)
        for step in steps
    ]
    requests.append(
        service_pb2.CreateSequenceStepRequest(
            sequence_id=model.sequence_id, step=steps[2], validate_only=True
        )
    )
    return [request.SerializeToString() for request in requests]


def _small_struct() -> Struct:
    struct = Struct()
    struct.update({"taskAutoskipDelay": 86_400, "more": {"a": [1, None, "x"]}})
    return struct


def changed_message(random: Random, raw: bytes) -> bytes:
    """Return a message with a few of its fields set at random; one that parses no more as it is."""
    message = service_pb2.CreateSequenceStepRequest()
    try:
        message.MergeFromString(raw)
    except Exception:  # noqa: BLE001 - whatever is wrong with them
        return raw
    for _ in range(random.choice((1, 1, 2, 4))):
        _change(random, message)
    return message.SerializeToString()


def _change(random: Random, message: service_pb2.CreateSequenceStepRequest) -> None:
    random.choice((_change_request, _change_step, _change_step, _change_content))(random, message)


def _change_request(random: Random, message: service_pb2.CreateSequenceStepRequest) -> None:
    match random.randrange(4):
        case 0:
            message.sequence_id = mutations.text(random)
        case 1:
            message.request_id = mutations.text(random)
        case 2:
            message.validate_only = not message.validate_only
        case _:
            message.fail_on_warning = True


def _change_step(random: Random, message: service_pb2.CreateSequenceStepRequest) -> None:
    step = message.step
    match random.randrange(7):
        case 0:
            step.type = random.choice((*range(6), 99))
        case 1:
            step.interval_seconds = _int32(random)
        case 2:
            step.order = _int32(random)
        case 3:
            step.is_reply = not step.is_reply
        case 4:
            step.custom_fields.CopyFrom(_struct(random, 0))
        case 5:
            step.template.id = mutations.text(random)
        case _:
            name = random.choice(("name", "date", "task_note"))
            setattr(step, name, mutations.text(random))


def _change_content(random: Random, message: service_pb2.CreateSequenceStepRequest) -> None:
    content = message.step.template.content
    match random.randrange(3):
        case 0:
            name = random.choice(("subject", "body_html", "name"))
            setattr(content, name, mutations.text(random))
        case 1:
            recipients: Any = getattr(content, random.choice(("to", "cc", "bcc")))
            recipients.extend(mutations.text(random) for _ in range(random.choice((1, 2, 20, 51))))
        case _:
            content.custom_fields.CopyFrom(_struct(random, 0))


def _int32(random: Random) -> int:
    number = random.choice(mutations.NUMBERS)
    return number if number in INT32 else random.randrange(-100, 2000)


def _struct(random: Random, depth: int) -> Struct:
    keys = [mutations.text(random) for _ in range(random.choice((0, 1, 2, 5, 20)))]
    return Struct(fields={key: _value(random, depth + 1) for key in keys})


def _value(random: Random, depth: int) -> Value:
    value = Value()
    match random.randrange(6 if depth < 8 else 4):
        case 0:
            value.string_value = mutations.text(random)
        case 1:
            value.number_value = random.choice((*mutations.FLOATS, *map(float, mutations.NUMBERS)))
        case 2:
            value.bool_value = True
        case 3:
            if random.random() < 0.9:
                value.null_value = NULL_VALUE
        case 4:
            value.struct_value.CopyFrom(_struct(random, depth))
        case _:
            values = [_value(random, depth + 1) for _ in range(random.choice((0, 1, 3)))]
            value.list_value.values.extend(values)
    return value
