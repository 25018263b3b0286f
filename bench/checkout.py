"""A checkout of Darkroom, measured with its own interpreter."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkout:
    """A checkout and its virtual environment."""

    folder: Path
    python: Path
    """Interpreter of the virtual environment."""

    @classmethod
    def own(cls) -> "Checkout":
        """Return the checkout that contains this file."""
        return cls(Path(__file__).resolve().parents[1], Path(sys.executable))

    @classmethod
    def at(cls, folder: Path) -> "Checkout":
        """Return the checkout in a folder. Raises SystemExit when it has no virtual environment."""
        python = folder.absolute() / ".venv" / "bin" / "python"
        if not python.exists():
            raise SystemExit(f"{python} does not exist. Run `make setup` in {folder} first.")
        return cls(folder.resolve(), python)

    def commit(self) -> str:
        """Return the short commit hash, with `-dirty` for changed files, or `unversioned` outside of git."""
        command = ("git", "-C", str(self.folder), "describe", "--always", "--dirty", "--exclude=*")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() or "unversioned"
