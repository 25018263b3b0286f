"""The settings of a stack's services, and the environment file for shells."""

import os
import shlex
from collections.abc import Mapping

from darkroom_local.home import REPOSITORY, Home, write_private
from darkroom_local.parts import S3, Caddy, Postgres, RabbitMQ
from darkroom_local.ports import LOOPBACK
from darkroom_local.state import State

BUCKET = "darkroom"
ALLOWED_HOSTS = "DARKROOM_WEBHOOK_ALLOWED_HOSTS"
# Settings of the stack itself and of its clients; services do not get them.
OWN = ("DARKROOM_HOME", "DARKROOM_PORT", "DARKROOM_STACK", "DARKROOM_URL", "DARKROOM_API_KEY", "DARKROOM_OPERATOR_KEY")


def service_settings(
    home: Home, ports: Mapping[str, int], rabbitmq: RabbitMQ, postgres: Postgres, s3: S3, edge: Caddy
) -> dict[str, str]:
    """Return the environment of every service: defaults, then the caller's DARKROOM_ settings, then the stack's own.

    `ports` maps the services' port settings to their ports.
    """
    defaults = {
        "DARKROOM_DEVICE": "cpu",
        "DARKROOM_MODEL": "shapes",
        ALLOWED_HOSTS: LOOPBACK,
        "DARKROOM_MODELS_FILE": str(REPOSITORY / "deploy" / "models.toml"),
        "DARKROOM_WORKER_NAME": "worker-1",
    }
    chosen = {key: value for key, value in os.environ.items() if key.startswith("DARKROOM_") and key not in OWN}
    places = {
        "DARKROOM_AMQP_URL": rabbitmq.url,
        "DARKROOM_AMQP_MANAGEMENT_URL": rabbitmq.management_url,
        "DARKROOM_DATABASE_URL": postgres.url,
        "DARKROOM_S3_ENDPOINT": s3.endpoint,
        "DARKROOM_S3_ACCESS_KEY": s3.access_key,
        "DARKROOM_S3_SECRET_KEY": s3.secret_key,
        "DARKROOM_S3_BUCKET": BUCKET,
        "DARKROOM_S3_REGION": "us-east-1",
        "DARKROOM_PUBLIC_URL": edge.url,
        "DARKROOM_MODELS_HOME": str(home.models_home),
    }
    return {**defaults, **chosen, **places, **{setting: str(port) for setting, port in ports.items()}}


def write_env_file(home: Home, state: State, settings: Mapping[str, str]) -> None:
    """Write `.darkroom/env`: one assignment a line, then one export of all names."""
    values = {
        "DARKROOM_HOME": str(home.path),
        "DARKROOM_URL": settings["DARKROOM_PUBLIC_URL"],
        "DARKROOM_API_KEY": state.keys.get("client", ""),
        "DARKROOM_OPERATOR_KEY": state.keys.get("operator", ""),
        **settings,
    }
    lines = [f"{key}={shlex.quote(value)}" for key, value in values.items()]
    write_private(home.env_file, "\n".join([*lines, f"export {' '.join(values)}"]) + "\n")
