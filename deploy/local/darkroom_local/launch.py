"""`python -m darkroom_local.launch FILE NAME` becomes the named program: same pid, its own environment and folder.

supervisord starts programs through this, so that no secret stands in its configuration or in the process list, and no
value has to survive that configuration's quoting.
"""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from darkroom_local.home import write_private
from darkroom_local.program import Program, base_environment


def describe(file: Path, programs: Iterable[Program], mark: dict[str, str]) -> None:
    """Write what `main` reads; `mark` goes into every program's environment."""
    described = {
        program.name: {
            "command": program.command,
            "directory": str(program.directory),
            "environment": {**program.environment, **mark},
        }
        for program in programs
    }
    write_private(file, json.dumps(described, indent=2) + "\n")


def main(file: str, name: str) -> None:
    program = json.loads(Path(file).read_text())[name]
    environment = {**base_environment(), **program["environment"], "SUPERVISOR_PROCESS_NAME": name}
    os.chdir(program["directory"])
    os.execvpe(program["command"][0], program["command"], environment)  # noqa: S606 - the point of this module


if __name__ == "__main__":
    main(*sys.argv[1:])
