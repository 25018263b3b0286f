"""Brings a model from the hub into its folder: whole and checked, or not at all."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from darkroom_contracts.models import Model
from gpu_consumer.models import hub, manifest
from gpu_consumer.models.folders import inspect_model
from gpu_consumer.models.model_folder import ModelFolder, write_sums
from gpu_consumer.models.selection import choose
from gpu_consumer.protocol import Device
from gpu_consumer.startup import ModelDamagedError, StartupError

PULLED = "PULLED"
"""Marks a folder as pulled, and holds where from; a folder without it is never overwritten."""


class PullError(Exception):
    """The model can't be pulled; the message is one sentence."""


class Pulled(msgspec.Struct, frozen=True):
    """What is in the folder now."""

    folder: ModelFolder
    is_new: bool
    """False when it was there already, undamaged."""


def pull(model: Model, folder: Path, device: Device) -> Pulled:
    """Make sure that the folder holds the model at the catalogue's revision.

    An interrupted download goes on when it is called again. Raises PullError, HubError, and StartupError when what
    the hub holds would be refused by a worker.
    """
    if model.hub is None or model.revision is None:
        raise PullError(f"The catalogue names no hub for {model.name}: put its files into {folder} yourself.")
    source = f"{model.hub}@{model.revision}"
    found = _found(model, folder, device) if _pulled_from(folder) == source else None
    if found is not None:
        return Pulled(found, is_new=False)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _scratch_beside(folder, model.revision) as scratch:
        fresh = scratch / "new"
        _fetch(model.hub, model.revision, model, fresh)
        (fresh / PULLED).write_text(f"{source}\n")
        _check(model, fresh, device)
        _exchange(fresh, folder, scratch / "old")
    return Pulled(inspect_model(folder, model, device), is_new=True)


def _pulled_from(folder: Path) -> str | None:
    """Where the folder was pulled from; None when it is not there or empty. Raises PullError for any other."""
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not (folder / PULLED).is_file():
        raise PullError(f"The folder {folder} holds something that was not pulled, and is left alone.")
    return (folder / PULLED).read_text().strip()


def _found(model: Model, folder: Path, device: Device) -> ModelFolder | None:
    """What is there, unless a worker would refuse it: then it is pulled anew."""
    try:
        return inspect_model(folder, model, device)
    except StartupError:
        return None


@contextmanager
def _scratch_beside(folder: Path, revision: str) -> Iterator[Path]:
    """A folder on the same file system that only this process works in; kept when a download breaks off."""
    scratch = folder.parent / f".{folder.name}-{revision[:12]}"
    scratch.mkdir(exist_ok=True)
    handle = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield scratch
        shutil.rmtree(scratch)
    except BlockingIOError as error:
        raise PullError(f"Another pull is at work in {scratch}.") from error
    except StartupError:
        shutil.rmtree(scratch)  # what was refused now would be refused again
        raise
    finally:
        os.close(handle)


def _fetch(repository: str, revision: str, model: Model, fresh: Path) -> None:
    """Download what is chosen, and hold it against the digests that the hub tells."""
    files = {file.path: file for file in hub.list_files(repository, revision)}
    chosen = choose(files, model)
    hub.download(repository, revision, chosen, fresh)
    shutil.rmtree(fresh / ".cache", ignore_errors=True)
    for path in chosen:
        told = files[path].sha256
        if told is not None and manifest.digest(fresh / path) != told:
            raise ModelDamagedError(f"The file {path} of {repository} did not arrive as the hub describes it.")


def _check(model: Model, fresh: Path, device: Device) -> None:
    """As a worker will, so that nothing it would refuse gets into the folder."""
    if not (fresh / manifest.SUMS).is_file():
        write_sums(fresh)
    inspect_model(fresh, model, device)


def _exchange(fresh: Path, folder: Path, old: Path) -> None:
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
