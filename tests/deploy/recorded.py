"""Runs a page's commands; a stand-in writes down what those programs get that cannot be run here.

Without a container engine, a cluster and systemd, what can be known of such a line is what the
shell makes of it: each argument, the input, and the variables. All other programs are run.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.service.programs import PROGRAMS, run

NOT_HERE = ("docker", "kubectl", "sudo", "journalctl")
"""They come first in the path, so that not even one that is installed is run."""

_STAND_IN = f"""#!{sys.executable} -IS
import json, os, sys
program, *arguments = sys.argv
call = [os.path.basename(program), arguments, sys.stdin.read(), dict(os.environ)]
with open({{calls!r}}, "a") as calls:
    print(json.dumps(call), file=calls)
if arguments[:2] == ["run", "--rm"]:  # The image's own program is here.
    own = {str(PROGRAMS / "sequence-step-service")!r}
    os.execv(own, [own, *arguments[3:]])
"""


@dataclass(frozen=True)
class Call:
    """What a program was given."""

    program: str
    arguments: Sequence[str]
    input: str
    environment: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A script that has ended: what it printed, and the calls of programs that are not here."""

    output: str
    calls: Sequence[Call]

    def of(self, program: str) -> list[Sequence[str]]:
        """Return the arguments of each call of a program."""
        return [call.arguments for call in self.calls if call.program == program]


async def run_recorded(script: str, folder: Path, *more: Path) -> Run:
    """Run a script in a folder, as a person does; `more` are paths of programs to record too."""
    calls = folder.with_name(f"{folder.name}-calls")
    stand_ins = folder.with_name(f"{folder.name}-programs")
    for path in (*(stand_ins / name for name in NOT_HERE), *more):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_STAND_IN.format(calls=str(calls)))
        path.chmod(0o755)
    line = f"cd '{folder}'; export PATH='{stand_ins}':$PATH; {script}"
    done = await run("bash", "-e", "-o", "pipefail", "-c", line, home=stand_ins)
    assert done.status == 0, done.errors
    return Run(done.output, [Call(*json.loads(line)) for line in calls.read_text().splitlines()])
