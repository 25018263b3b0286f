"""`python -m darkroom_local.launch FILE NAME` replaces itself with the named program, in its folder and environment.

supervisord starts programs through this module: no secret is in its configuration or in the process list, and no value
passes through that configuration's quoting. The pid is the program's own.
"""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from darkroom_local.home import write_private
from darkroom_local.program import Program, base_environment


def describe(file: Path, programs: Iterable[Program], mark: dict[str, str]) -> None:
    """Write the file that `main` reads. `mark` is added to every program's environment."""
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
    """Replace this process with a program of the file."""
    program = json.loads(Path(file).read_text())[name]
    environment = {**base_environment(), **program["environment"], "SUPERVISOR_PROCESS_NAME": name}
    os.chdir(program["directory"])
    os.execvpe(program["command"][0], program["command"], environment)  # noqa: S606 - the point of this module


if __name__ == "__main__":
    main(*sys.argv[1:])
