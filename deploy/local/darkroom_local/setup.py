"""The prerequisites of a stack's services: database schema, bucket, API keys and model."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from minio import Minio

from chassis.folders import replaced
from darkroom_local.errors import LocalError
from darkroom_local.home import REPOSITORY, Home
from darkroom_local.parts import S3
from darkroom_local.program import base_environment

TINY = "tiny"
SHIPPED = REPOSITORY / "models"
"""Models in the repository, one folder each."""
MODELS = ("shapes", TINY)
"""Models that come with the project: one in the repository, one that is built from code."""
MANIFEST = "SHA256SUMS"
COMMAND_SECONDS = 900
"""Longer than the migrator waits for locks."""


def migrate(settings: Mapping[str, str]) -> None:
    """Migrate the database to the current schema. Raises LocalError."""
    run((sys.executable, "-m", "operations.migrations"), settings)


def create_bucket(s3: S3, bucket: str) -> None:
    """Create the bucket unless it exists."""
    client = Minio(s3.endpoint.removeprefix("http://"), s3.access_key, s3.secret_key, secure=False, region="us-east-1")
    if not client.bucket_exists(bucket):
        client.make_bucket(bucket)


def create_key(scope: str, settings: Mapping[str, str]) -> str:
    """Create a development key for the tenant `default` and return it. Raises LocalError."""
    darkroom = Path(sys.executable).parent / "darkroom"
    output = run((str(darkroom), "bootstrap-key", "--scope", scope, "--name", "development", "--json"), settings)
    return str(json.loads(output)["key"])


def model_is_missing(home: Home, name: str) -> bool:
    """Return whether a model that comes with the project is missing in the stack or outdated."""
    folder = home.models_home / name
    if name == TINY:
        return not (folder / "model_index.json").exists()
    shipped = SHIPPED / name / MANIFEST
    return shipped.is_file() and not _same(shipped, folder / MANIFEST)


def provide_model(home: Home, name: str) -> None:
    """Install a model that comes with the project, replacing an outdated one. Raises LocalError."""
    folder = home.models_home / name
    if name == TINY:
        run((sys.executable, "-m", "gpu_consumer.tiny", str(folder)), {})
        return
    with replaced(folder) as fresh:
        shutil.copytree(SHIPPED / name, fresh)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def run(command: tuple[str, ...], settings: Mapping[str, str]) -> str:
    """Run a command and return its standard output. Raises LocalError with its output when it fails."""
    environment = {**base_environment(), **settings}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise LocalError(
            f"`{' '.join(command)}` did not finish within {COMMAND_SECONDS} s. Run it by itself to see its output."
        ) from error
    if done.returncode:
        raise LocalError(f"`{' '.join(command)}` failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout
