"""The contract may grow, and may not break what the last release promised."""

import shutil
from pathlib import Path

import pytest

from tests.service.programs import PROGRAMS, ROOT, Finished, run

FILE = "protos/engagement/v1/sequence_step_service.proto"
RELEASED = ROOT / "protos/released.binpb"


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("string sequence_id = 1;", "string sequence_id = 9;"),
        ("bool validate_only = 4;", "reserved 4;"),
        ("rpc CreateSequenceStep(", "rpc MakeSequenceStep("),
    ],
)
async def test_what_breaks_callers_is_found(was: str, becomes: str, tmp_path: Path) -> None:
    assert (await _compared(tmp_path, was, becomes)).status != 0


async def test_a_new_field_breaks_nothing(tmp_path: Path) -> None:
    was = "bool validate_only = 4;"
    finished = await _compared(tmp_path, was, f"{was}\n  // New.\n  bool brand_new = 99;")
    assert (finished.status, finished.output) == (0, "")


async def _compared(folder: Path, was: str, becomes: str) -> Finished:
    """Compare a changed contract with the last release's."""
    shutil.copytree(ROOT / "protos", folder / "protos")
    shutil.copy(ROOT / "buf.yaml", folder)
    text = (folder / FILE).read_text()
    assert was in text
    (folder / FILE).write_text(text.replace(was, becomes))
    return await run(PROGRAMS / "buf", "breaking", folder, "--against", RELEASED, home=folder)
