"""The Hugging Face hub, or one that speaks as it does: HF_ENDPOINT names it, HF_TOKEN opens what is gated there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import msgspec
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile


class HubError(Exception):
    """The hub does not give what was asked of it; the message is one sentence."""


class HubFile(msgspec.Struct, frozen=True):
    """A file of a repository."""

    path: str
    size: int
    """Bytes."""
    sha256: str | None
    """Told for large files only."""


def list_files(repository: str, revision: str) -> list[HubFile]:
    """Every file of the repository at that commit. Raises HubError."""
    with _as_sentence(repository, revision):
        entries = HfApi().list_repo_tree(repository, recursive=True, revision=revision)
        files = [entry for entry in entries if isinstance(entry, RepoFile)]
    return [HubFile(file.path, file.size, file.lfs.sha256 if file.lfs else None) for file in files]


def download(repository: str, revision: str, paths: list[str], folder: Path) -> None:
    """Bring these files into the folder, where an interrupted download goes on. Raises HubError.

    Progress goes to standard error. The library keeps what it remembers in `.cache` there.
    """
    with _as_sentence(repository, revision):
        snapshot_download(
            repository, revision=revision, allow_patterns=paths, local_dir=folder, cache_dir=folder / ".cache"
        )


@contextmanager
def _as_sentence(repository: str, revision: str) -> Iterator[None]:
    try:
        yield
    except GatedRepoError as error:
        raise HubError(
            f"The repository {repository} is gated: accept its terms on the hub and set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        raise HubError(f"The hub shows no repository {repository}; a private one needs HF_TOKEN.") from error
    except RevisionNotFoundError as error:
        raise HubError(f"The repository {repository} has no commit {revision}.") from error
    except OfflineModeIsEnabled as error:
        raise HubError("The hub may not be asked: HF_HUB_OFFLINE is set.") from error
    except (httpx2.HTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise HubError(f"{repository} can't be pulled: {type(error).__name__}: {reason}.") from error
