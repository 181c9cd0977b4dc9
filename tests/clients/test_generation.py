"""`buf.gen.yaml`: what it makes with plugins of this machine in the place of those of a registry.

For Python the one of the service is left out: `make check` compares what protoc makes of it.
"""

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.clients import typescript_program
from tests.clients.caller import Caller
from tests.service.programs import PROGRAMS, ROOT, run

PROTOC = {"protoc_path": [sys.executable, "-m", "grpc_tools.protoc"]}
OF_THIS_MACHINE: dict[str, dict[str, Any]] = {
    "buf.build/bufbuild/es": {
        "local": str(typescript_program.TARGET / "node_modules" / ".bin" / "protoc-gen-es")
    },
    "buf.build/protocolbuffers/python": {"protoc_builtin": "python", **PROTOC},
    "buf.build/protocolbuffers/pyi": {"protoc_builtin": "pyi", **PROTOC},
}


async def test_typescript_and_python(callers: list[Caller], tmp_path: Path) -> None:
    """The same files as the examples use; the callers are built then."""
    assert callers
    template = yaml.safe_load((ROOT / "buf.gen.yaml").read_text())
    template["plugins"] = [
        {**OF_THIS_MACHINE[plugin.pop("remote")], **plugin, "out": str(tmp_path / plugin["out"])}
        for plugin in template["plugins"]
        if plugin["remote"] in OF_THIS_MACHINE
    ]
    own = tmp_path / "buf.gen.yaml"
    own.write_text(yaml.safe_dump(template))
    path = os.pathsep.join((str(typescript_program.NODE.parent), os.environ["PATH"]))
    command = (PROGRAMS / "buf", "generate", "--template", own)
    done = await run(*command, home=tmp_path, environment={"PATH": path})
    assert (done.status, done.errors) == (0, "")
    made = tmp_path / "var" / "clients"
    used = typescript_program.TARGET / "generated"
    assert _texts(made / "typescript", "*.ts") == _texts(used / "engagement", "*.ts")
    assert _texts(made / "python", "*.pyi") == _texts(ROOT / "generated", "*.pyi")


def _texts(folder: Path, pattern: str) -> dict[str, str]:
    found = {path.name: path.read_text() for path in folder.rglob(pattern)}
    assert found
    return found
