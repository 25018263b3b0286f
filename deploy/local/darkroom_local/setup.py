"""What a stack needs before its services can start: the schema, the bucket, the keys, the model."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from minio import Minio

from darkroom_local.errors import LocalError
from darkroom_local.home import Home
from darkroom_local.parts import S3
from darkroom_local.program import base_environment

TINY = "tiny"


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


def tiny_model_is_missing(home: Home, settings: Mapping[str, str]) -> bool:
    return settings["DARKROOM_MODEL"] == TINY and not (home.models_home / TINY / "model_index.json").exists()


def make_tiny_model(home: Home) -> None:
    run((sys.executable, "-m", "gpu_consumer.tiny", str(home.models_home / TINY)), {})


def run(command: tuple[str, ...], settings: Mapping[str, str]) -> str:
    """Run a command to its end; its standard output. Raises LocalError with what it said when it fails."""
    environment = {**base_environment(), **settings}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise LocalError(f"`{' '.join(command)}` failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout
