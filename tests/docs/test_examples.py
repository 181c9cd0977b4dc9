"""Examples of pages: each can be read, and is what the repository has or does."""

import ast
import asyncio
import json
import time
import tomllib
import types
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import pytest
import yaml
from google.rpc import error_details_pb2, status_pb2

from engagement.v1.sequence_step_service_pb2 import CreateSequenceStepRequest
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from tests.docs.pages import BLOCKS, PAGES, Block, kept_files
from tests.docs.test_commands import SHELL
from tests.service import conftest as of_service
from tests.service.conftest import Client, NewAccount
from tests.service.programs import ROOT
from tests.service.step_messages import CALL, step

sandbox, client = of_service.sandbox, of_service.client
control, new_account = of_service.control, of_service.new_account

READERS: Mapping[str, Callable[[str], object]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "python": ast.parse,
}
CHECKED_ELSEWHERE = {*SHELL, "text"}
READ = [block for block in BLOCKS if block.language in READERS]

[REPEATING] = [block for block in PAGES["docs/guarantees.md"].blocks if block.language == "python"]
RUN_BY_TESTS = {("docs/clients.md", "python"): "tests/clients/test_page.py"}
"""The test that reads a page and runs its blocks of this language."""

EXCERPTS = [
    block
    for block in BLOCKS
    if block.language not in {"json", "toml", "yaml", *CHECKED_ELSEWHERE}
    and (block.page, block.language) not in RUN_BY_TESTS
    and block != REPEATING
]


@pytest.mark.parametrize("block", READ, ids=str)
def test_it_can_be_read(block: Block) -> None:
    READERS[block.language](block.text)


def test_what_is_not_run_is_an_excerpt() -> None:
    """Of a file that has these lines, and that its own tests build and run."""
    assert [str(block) for block in EXCERPTS if not _is_excerpt(block)] == []


@pytest.mark.parametrize(("page", "language"), RUN_BY_TESTS)
def test_what_is_said_to_be_run_is_named_by_its_test(page: str, language: str) -> None:
    source = (ROOT / RUN_BY_TESTS[page, language]).read_text()
    assert page.removeprefix("docs/") in source
    assert f"```{language}" in source


@pytest.mark.parametrize(
    ("field", "is_there"), [("string sequence_id = 1;", True), ("e = 1;", False)]
)
def test_an_excerpt_is_known_from_what_is_none(field: str, *, is_there: bool) -> None:
    block = Block("", "proto", f"message CreateSequenceStepRequest {{\n    {field}\n}}\n")
    assert _is_excerpt(block) is is_there


def _is_excerpt(block: Block) -> bool:
    return any(_has_lines(text, block) for text in _sources())


def _sources() -> Iterator[str]:
    for path in kept_files():
        if path.suffix != ".md":
            yield path.read_text(errors="replace")


def _has_lines(text: str, block: Block) -> bool:
    lines = {line.strip() for line in text.splitlines()}
    return all(line.strip() in lines for line in block.text.splitlines())


async def test_the_loop_of_a_caller_ends_with_one_step(
    client: Client, new_account: NewAccount
) -> None:
    """It meets an error with RetryInfo first; and what time cannot change, it raises."""
    account = await new_account("outreach")
    await account.fault(kind="maintenance", retry_after="seconds", retry_after_seconds=1, times=4)
    request_id = str(uuid.uuid4())

    answer, slept = await asyncio.to_thread(_run, client, account, request_id, step(CALL))
    assert answer.id in await account.step_ids()
    assert len(await account.step_ids()) == 1
    assert slept

    with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
        await asyncio.to_thread(_run, client, account, "no UUID", step(CALL))


def _run(client: Client, account: Any, request_id: str, step: Any) -> tuple[Any, list[float]]:
    """Run the page's lines against the service; return the answer, and the waits between."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    with grpc.insecure_channel(f"127.0.0.1:{client.port}") as channel:
        names = {
            "CreateSequenceStepRequest": CreateSequenceStepRequest,
            "stub": SequenceStepServiceStub(channel),  # type: ignore[no-untyped-call]
            "metadata": (("x-customer-id", account.name), ("x-provider-name", account.vendor)),
            "grpc": grpc,
            "time": types.SimpleNamespace(sleep=sleep),
            "retry_delay": _retry_delay,
            "stored_id": request_id,
            "sequence_id": account.sequence_id,
            "step": step,
        }
        exec(REPEATING.text, names)  # noqa: S102 - the page is this repository's own
    return names["answer"], slept


def _retry_delay(error: Any) -> float | None:
    """Do what the page's comment says: RetryInfo, or a second where there is no ErrorInfo."""
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    if not details:
        return 1.0
    retry = error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(details).details:
        if detail.Unpack(retry):
            return retry.retry_delay.ToTimedelta().total_seconds()
    return None
