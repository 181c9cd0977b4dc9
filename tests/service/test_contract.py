"""The contract: what its comments promise is what the service holds to."""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from engagement.v1 import sequence_step_pb2, sequence_step_service_pb2
from service.application.budget import CALLER_SECONDS_DEFAULT
from service.domain.errors import Reason, ServiceError
from service.domain.step import CUSTOMER_ID_CHARACTERS_MAX
from service.transport import step_request, struct_json
from service.transport.status import code_of
from service.transport.status_boundary import REQUEST_BYTES_MAX
from tests.service.programs import PROGRAMS, ROOT, run

FILES = ("engagement/v1/sequence_step.proto", "engagement/v1/sequence_step_service.proto")
KIBI = 1024

LIMITS = {
    "SequenceStep.name": f"At most {step_request.NAME_CHARACTERS_MAX} characters.",
    "SequenceStep.interval_seconds": f"0 to {step_request.INTERVAL_SECONDS_MAX:,} (five years).",
    "SequenceStep.order": f": {step_request.ORDER_MIN} to {step_request.ORDER_MAX}.",
    "SequenceStep.task_note": f"At most {step_request.TASK_NOTE_CHARACTERS_MAX:,} characters.",
    "SequenceStep.custom_fields": (
        f"At most {struct_json.JSON_BYTES_MAX // KIBI} KiB as JSON, {struct_json.KEYS_MAX} keys, "
        f"{struct_json.DEPTH_MAX} levels deep."
    ),
    "TemplateContent.subject": f"At most {step_request.SUBJECT_CHARACTERS_MAX} characters.",
    "TemplateContent.body_html": f"At most {step_request.BODY_HTML_BYTES_MAX // KIBI} KiB.",
    "TemplateContent.name": f"At most {step_request.TEMPLATE_NAME_CHARACTERS_MAX} characters.",
    "TemplateContent.to": f"At most {step_request.RECIPIENTS_MAX}.",
    "TemplateContent.cc": f"At most {step_request.RECIPIENTS_MAX}.",
    "TemplateContent.bcc": f"At most {step_request.RECIPIENTS_MAX}.",
    "CreateSequenceStepRequest": f"At most {REQUEST_BYTES_MAX // KIBI} KiB in all.",
    "SequenceStepService": f"(1 to {CUSTOMER_ID_CHARACTERS_MAX} printable ASCII characters",
    "SequenceStepService.CreateSequenceStep": (
        f"Default deadline: {CALLER_SECONDS_DEFAULT:.0f} seconds."
    ),
}
"""What the comment of each element says of its limits, by the service's own constants."""


@pytest.fixture(scope="module")
async def files(
    tmp_path_factory: pytest.TempPathFactory,
) -> list[descriptor_pb2.FileDescriptorProto]:
    """The proto files as protoc reads them, with their comments."""
    folder = tmp_path_factory.mktemp("contract")
    target = folder / "contract.binpb"
    finished = await run(
        *(sys.executable, "-m", "grpc_tools.protoc", "-I", "protos", "--include_source_info"),
        f"--descriptor_set_out={target}",
        *FILES,
        home=folder,
    )
    assert (finished.status, finished.errors) == (0, "")
    return list(descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file)


async def test_buf_has_nothing_to_say(tmp_path: Path) -> None:
    for command in (("lint",), ("format", "--diff", "--exit-code")):
        finished = await run(PROGRAMS / "buf", *command, home=tmp_path)
        assert (finished.status, finished.output, finished.errors) == (0, "", "")


def test_everything_has_a_comment(files: Sequence[descriptor_pb2.FileDescriptorProto]) -> None:
    comments = dict(_comments(files))
    assert len(comments) > 40
    assert [name for name, comment in comments.items() if not comment] == []


@pytest.mark.parametrize("element", LIMITS)
def test_a_limit_in_a_comment_is_the_services(
    element: str, files: Sequence[descriptor_pb2.FileDescriptorProto]
) -> None:
    assert LIMITS[element] in dict(_comments(files))[element]


def test_the_generated_code_is_that_of_the_contract(
    files: Sequence[descriptor_pb2.FileDescriptorProto],
) -> None:
    generated = {
        module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb
        for module in (sequence_step_pb2, sequence_step_service_pb2)
    }
    for file in files:
        in_code = descriptor_pb2.FileDescriptorProto.FromString(generated[file.name])
        assert in_code == _as_generated(file)


async def test_the_generated_code_can_be_imported_from_anywhere(tmp_path: Path) -> None:
    code = (
        f"import os; os.chdir({str(tmp_path)!r}); import sys; sys.path.remove(''); "
        "from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub"
    )
    finished = await run(sys.executable, "-c", code, home=tmp_path)
    assert (finished.status, finished.errors) == (0, "")


def test_the_request_has_these_numbers() -> None:
    request = sequence_step_service_pb2.CreateSequenceStepRequest.DESCRIPTOR
    assert {field.name: field.number for field in request.fields} == {
        "sequence_id": 1,
        "step": 2,
        "request_id": 3,
        "validate_only": 4,
        "fail_on_warning": 5,
    }


def test_the_documentation_has_every_reason_with_its_code() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| `([A-Z_]+)`", (ROOT / "docs/errors.md").read_text(), re.MULTILINE
    )
    by_field = ("PROVIDER_REJECTED", "INVALID_ARGUMENT")  # It depends on what the vendor says.
    assert [row for row in rows if row != by_field] == [
        (reason.value, code_of(ServiceError(reason, "")).name)
        for reason in Reason
        if reason is not Reason.PROVIDER_REJECTED
    ]
    assert by_field in rows


def _comments(
    files: Sequence[descriptor_pb2.FileDescriptorProto],
) -> Iterator[tuple[str, str]]:
    """Yield each element's name and its comment, on one line."""
    for file in files:
        by_path = {
            tuple(location.path): " ".join(location.leading_comments.split())
            for location in file.source_code_info.location
        }
        for path, name in _elements(file):
            yield name, by_path.get(path, "")


def _elements(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield path and name of all that a caller sees; paths are those of descriptor.proto."""
    for index, message in enumerate(file.message_type):
        yield (4, index), message.name
        for number, field in enumerate(message.field):
            yield (4, index, 2, number), f"{message.name}.{field.name}"
    for index, enum in enumerate(file.enum_type):
        yield (5, index), enum.name
        for number, value in enumerate(enum.value):
            yield (5, index, 2, number), f"{enum.name}.{value.name}"
    for index, service in enumerate(file.service):
        yield (6, index), service.name
        for number, method in enumerate(service.method):
            yield (6, index, 2, number), f"{service.name}.{method.name}"


def _as_generated(
    file: descriptor_pb2.FileDescriptorProto,
) -> descriptor_pb2.FileDescriptorProto:
    """Leave out what generated code does not keep: comments, and JSON names."""
    kept = descriptor_pb2.FileDescriptorProto()
    kept.CopyFrom(file)
    kept.ClearField("source_code_info")
    for message in kept.message_type:
        for field in message.field:
            field.ClearField("json_name")
    return kept
