"""The folder that holds the whole state of one stack."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from darkroom_local.errors import LocalError

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Home:
    """Paths below `.darkroom/` in the repository, or below DARKROOM_HOME."""

    path: Path

    @classmethod
    def find(cls) -> "Home":
        """Return the home that DARKROOM_HOME names, or the default."""
        chosen = os.environ.get("DARKROOM_HOME")
        return cls(Path(chosen).absolute()) if chosen else cls.default()

    @classmethod
    def default(cls) -> "Home":
        """Return `.darkroom/` in the repository."""
        return cls(REPOSITORY / ".darkroom")

    def create(self) -> None:
        """Create missing folders with mode 700; existing ones keep their modes."""
        for folder in (self.path, self.data, self.logs, self.models, self.pictures):
            make_private(folder)

    @property
    def is_open(self) -> bool:
        """Whether its mode gives other users access, as the mode of a folder that existed before may do."""
        return bool(stat.S_IMODE(self.path.stat().st_mode) & 0o077)

    @property
    def data(self) -> Path:
        """Data of the parts, one folder each."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def pictures(self) -> Path:
        """Pictures that `demo` downloaded."""
        return self.path / "pictures"

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def env_file(self) -> Path:
        """Settings and keys of the stack, for a shell to source."""
        return self.path / "env"

    @property
    def programs_file(self) -> Path:
        return self.path / "programs.json"

    @property
    def supervisor_file(self) -> Path:
        return self.path / "supervisord.conf"

    @property
    def models_home(self) -> Path:
        """DARKROOM_MODELS_HOME, or the stack's own folder."""
        chosen = os.environ.get("DARKROOM_MODELS_HOME")
        return Path(chosen).absolute() if chosen else self.models

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock for starting and stopping this stack. Raises LocalError when another process holds it."""
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LocalError(
                    f"Another command is starting or stopping the stack in {self.path}. Try again when it has finished."
                ) from error
            yield


def make_private(folder: Path) -> None:
    """Create a folder with mode 700; an existing one keeps its mode."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace the file atomically, with mode 600."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.rename(path)
