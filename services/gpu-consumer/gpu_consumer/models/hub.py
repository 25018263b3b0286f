"""A client of the Hugging Face hub, or of a compatible one at HF_ENDPOINT; HF_TOKEN gives access to gated models."""

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
    """The hub refused or failed a request; the message is one sentence for the operator."""


class HubFile(msgspec.Struct, frozen=True):
    """A file of a repository."""

    path: str
    size: int
    """Bytes."""
    sha256: str | None
    """None for small files, for which the hub has no digest."""


def list_files(repository: str, revision: str) -> list[HubFile]:
    """List every file of the repository at a commit. Raises HubError."""
    with _translated_errors(repository, revision):
        entries = HfApi().list_repo_tree(repository, recursive=True, revision=revision)
        files = [entry for entry in entries if isinstance(entry, RepoFile)]
    return [HubFile(file.path, file.size, file.lfs.sha256 if file.lfs else None) for file in files]


def download(repository: str, revision: str, paths: list[str], folder: Path) -> None:
    """Download these files into the folder, resuming an interrupted download. Raises HubError.

    Progress goes to standard error. The library keeps its state in the folder's `.cache`.
    """
    with _translated_errors(repository, revision):
        snapshot_download(
            repository, revision=revision, allow_patterns=paths, local_dir=folder, cache_dir=folder / ".cache"
        )


@contextmanager
def _translated_errors(repository: str, revision: str) -> Iterator[None]:
    try:
        yield
    except GatedRepoError as error:
        raise HubError(
            f"The repository {repository} is gated; accept its terms on the hub and set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        raise HubError(f"The hub has no repository {repository}; if it is private, set HF_TOKEN.") from error
    except RevisionNotFoundError as error:
        raise HubError(f"The repository {repository} has no commit {revision}.") from error
    except OfflineModeIsEnabled as error:
        raise HubError("HF_HUB_OFFLINE is set; unset it to use the hub.") from error
    except (httpx2.HTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise HubError(f"The repository {repository} can't be downloaded: {type(error).__name__}: {reason}.") from error
