"""The folder that holds all state of one stack."""

import fcntl
import os
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
        """The one that the environment chooses."""
        chosen = os.environ.get("DARKROOM_HOME")
        return cls(Path(chosen).absolute()) if chosen else cls.default()

    @classmethod
    def default(cls) -> "Home":
        return cls(REPOSITORY / ".darkroom")

    def create(self) -> None:
        """Make the folders; nobody else may enter."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for folder in (self.data, self.logs, self.models, self.pictures):
            folder.mkdir(exist_ok=True)

    @property
    def data(self) -> Path:
        """Of the parts: a folder each."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def pictures(self) -> Path:
        """Where `demo` puts what it downloads."""
        return self.path / "pictures"

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def env_file(self) -> Path:
        """What a shell can source."""
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
        """Keep others from starting or stopping this stack meanwhile. Raises LocalError when another does."""
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LocalError(f"Another command is starting or stopping the stack in {self.path}.") from error
            yield


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step; only its owner may read it."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.rename(path)
