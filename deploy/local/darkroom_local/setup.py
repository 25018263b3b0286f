"""What a stack needs before its services can start: the schema, the bucket, the keys, the model."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from minio import Minio

from darkroom_local.errors import LocalError
from darkroom_local.home import REPOSITORY, Home
from darkroom_local.parts import S3
from darkroom_local.program import base_environment

TINY = "tiny"
SHIPPED = REPOSITORY / "models"
"""Models that come with the project, a folder each."""
MODELS = ("shapes", TINY)
"""What comes with the project: shipped, and made on this machine."""
MANIFEST = "SHA256SUMS"
COMMAND_SECONDS = 900
"""Longer than the migrations wait for locks."""


def migrate(settings: Mapping[str, str]) -> None:
    """Bring the database to the current schema."""
    run((sys.executable, "-m", "operations", "migrate"), settings)


def create_bucket(s3: S3, bucket: str) -> None:
    client = Minio(s3.endpoint.removeprefix("http://"), s3.access_key, s3.secret_key, secure=False, region="us-east-1")
    if not client.bucket_exists(bucket):
        client.make_bucket(bucket)


def create_key(scope: str, settings: Mapping[str, str]) -> str:
    """A new development key for the tenant `default`."""
    darkroom = Path(sys.executable).parent / "darkroom"
    output = run((str(darkroom), "keys", "create", "--scope", scope, "--name", "development", "--json"), settings)
    return str(json.loads(output)["key"])


def model_is_missing(home: Home, name: str) -> bool:
    """Whether it is one that the project makes or ships, and the stack does not have it, or has an older one."""
    folder = home.models_home / name
    if name == TINY:
        return not (folder / "model_index.json").exists()
    shipped = SHIPPED / name / MANIFEST
    return shipped.is_file() and not _same(shipped, folder / MANIFEST)


def provide_model(home: Home, name: str) -> None:
    """Put a model that the project makes or ships where workers look for it, whole or not at all."""
    folder = home.models_home / name
    if name == TINY:
        run((sys.executable, "-m", "gpu_consumer.tiny", str(folder)), {})
        return
    with tempfile.TemporaryDirectory(dir=home.models_home, prefix=f".{name}-") as scratch:
        shutil.copytree(SHIPPED / name, Path(scratch) / "new")
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        (Path(scratch) / "new").rename(folder)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def run(command: tuple[str, ...], settings: Mapping[str, str]) -> str:
    """Run a command to its end; its standard output. Raises LocalError with what it said when it fails."""
    environment = {**base_environment(), **settings}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise LocalError(f"`{' '.join(command)}` did not end within {COMMAND_SECONDS} s; run it by itself.") from error
    if done.returncode:
        raise LocalError(f"`{' '.join(command)}` failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout
