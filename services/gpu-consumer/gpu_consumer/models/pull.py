"""The download of a model from the hub into a checked model folder, put in place atomically."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from chassis.folders import exchange
from darkroom_contracts.models import Model
from gpu_consumer.models import hub, manifest
from gpu_consumer.models.folders import inspect_model
from gpu_consumer.models.model_folder import ModelFolder, write_sums
from gpu_consumer.models.selection import choose
from gpu_consumer.protocol import Device
from gpu_consumer.startup import ModelDamagedError, StartupError

PULLED = "PULLED"
"""Name of the file that marks a pulled folder and records its source. A folder without it is never overwritten."""


class PullError(Exception):
    """The model can't be pulled; the message is one sentence."""


class Pulled(msgspec.Struct, frozen=True):
    """The result of a pull."""

    folder: ModelFolder
    is_new: bool
    """False when the folder already contained this revision, undamaged."""


def pull(model: Model, folder: Path, device: Device) -> Pulled:
    """Download the model at the catalogue's revision into its folder, unless that was done before.

    A call after an interrupted one resumes the download. Raises PullError, HubError, and StartupError when a worker
    would refuse the hub's files.
    """
    if model.hub is None or model.revision is None:
        raise PullError(f"The catalogue names no hub for {model.name}; put its files into {folder} yourself.")
    source = f"{model.hub}@{model.revision}"
    existing = _existing(model, folder, device) if _pulled_from(folder) == source else None
    if existing is not None:
        return Pulled(existing, is_new=False)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _scratch_beside(folder, model.revision) as scratch:
        fresh = scratch / "new"
        _fetch(model.hub, model.revision, model, fresh)
        (fresh / PULLED).write_text(f"{source}\n")
        _check(model, fresh, device)
        shutil.rmtree(scratch / "old", ignore_errors=True)
        exchange(fresh, folder, scratch / "old")
    return Pulled(inspect_model(folder, model, device), is_new=True)


def _pulled_from(folder: Path) -> str | None:
    """Return the source of a pulled folder, or None if it is missing or empty. Raises PullError for any other."""
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not (folder / PULLED).is_file():
        raise PullError(f"The folder {folder} contains files that were not pulled; move them away to pull the model.")
    return (folder / PULLED).read_text().strip()


def _existing(model: Model, folder: Path, device: Device) -> ModelFolder | None:
    """Return the pulled folder, or None if a worker would refuse it, so that it is pulled again."""
    try:
        return inspect_model(folder, model, device)
    except StartupError:
        return None


@contextmanager
def _scratch_beside(folder: Path, revision: str) -> Iterator[Path]:
    """Lock a folder on the same file system for this process. It is kept when the download is interrupted."""
    scratch = folder.parent / f".{folder.name}-{revision[:12]}"
    scratch.mkdir(exist_ok=True)
    handle = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield scratch
        shutil.rmtree(scratch)
    except BlockingIOError as error:
        raise PullError(f"Another pull is running in {scratch}; try again when it is done.") from error
    except StartupError:
        shutil.rmtree(scratch)  # the same files would be refused again
        raise
    finally:
        os.close(handle)


def _fetch(repository: str, revision: str, model: Model, fresh: Path) -> None:
    """Download the chosen files and compare them with the hub's digests."""
    files = {file.path: file for file in hub.list_files(repository, revision)}
    chosen = choose(files, model)
    hub.download(repository, revision, chosen, fresh)
    shutil.rmtree(fresh / ".cache", ignore_errors=True)
    for path in chosen:
        expected = files[path].sha256
        if expected is not None and manifest.digest(fresh / path) != expected:
            raise ModelDamagedError(f"The file {path} of {repository} was damaged in the download; pull it again.")


def _check(model: Model, fresh: Path, device: Device) -> None:
    """Check the downloaded folder as a worker does, and write the manifest if the repository has none."""
    if not (fresh / manifest.SUMS).is_file():
        write_sums(fresh)
    inspect_model(fresh, model, device)
