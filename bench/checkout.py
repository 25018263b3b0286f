"""A checkout of the product: what is measured, started by its own interpreter."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkout:
    folder: Path
    python: Path
    """The interpreter of its virtual environment."""

    @classmethod
    def own(cls) -> "Checkout":
        """The one that this file belongs to."""
        return cls(Path(__file__).resolve().parents[1], Path(sys.executable))

    @classmethod
    def at(cls, folder: Path) -> "Checkout":
        """Another one. Raises SystemExit where it is not set up."""
        python = folder.absolute() / ".venv" / "bin" / "python"
        if not python.exists():
            raise SystemExit(f"There is no {python}; run `make setup` in {folder} first.")
        return cls(folder.resolve(), python)

    def commit(self) -> str:
        """The short hash, with `-dirty` where files were changed since; `unversioned` outside of git."""
        command = ("git", "-C", str(self.folder), "describe", "--always", "--dirty", "--exclude=*")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() or "unversioned"
