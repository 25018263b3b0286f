"""Reports of the benchmarks: one Markdown file for each run, named by date and machine."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.backlog import Pace, middle
from bench.measures import Latency
from bench.scenarios import Rounds
from bench.tables import comparison_table, load_table

RESULTS = Path(__file__).with_name("results")
HOW = (
    "One process of each service; the load generator runs on the same cores. Logs at info level are written to files."
    " Each POST has a new Idempotency-Key, each GET requests another job. The rate of published jobs counts from the"
    " first request until RabbitMQ has confirmed all messages and the outbox is empty."
)


class Results(msgspec.Struct, frozen=True):
    """Figures of one run."""

    loads: Mapping[int, Rounds]
    """Rounds by number of queued jobs."""
    baselines: Mapping[str, str]
    """Name of the baseline of each scenario."""
    submit_to_claim: Latency
    paces: Mapping[str, Sequence[Pace]]
    """Paces on a backlog, by variant."""
    memory: Mapping[str, float]
    """Resident memory of each idle program, in megabytes (10^6 bytes)."""


class Comparison(msgspec.Struct, frozen=True):
    """Figures of two checkouts; the second is compared with the first."""

    names: tuple[str, str]
    """Commits."""
    loads: Mapping[int, tuple[Rounds, Rounds]]
    """Rounds by number of queued jobs."""
    submit_to_claim: tuple[Latency, Latency]
    memory: tuple[Mapping[str, float], Mapping[str, float]]


def write(results: Results) -> Path:
    """Write the report and return its path."""
    now = datetime.now(UTC)
    return _record(now, _processor(), render(results, now))


def write_comparison(comparison: Comparison) -> Path:
    """Write the report and return its path."""
    now = datetime.now(UTC)
    return _record(now, f"{_processor()} compare", render_comparison(comparison, now))


def write_republish(commit: str, lines: Sequence[str]) -> Path:
    """Write the report of the republish sweep and return its path."""
    now = datetime.now(UTC)
    title = f"# The republish sweep of {commit}, {now:%Y-%m-%d %H:%M} UTC"
    return _record(now, f"{_processor()} backlog {commit}", "\n".join([title, "", machine(), "", *lines, ""]))


def write_webhooks(commit: str, lines: Sequence[str]) -> Path:
    """Write the report of the webhooks and return its path."""
    now = datetime.now(UTC)
    title = f"# Webhooks of {commit}, {now:%Y-%m-%d %H:%M} UTC"
    return _record(now, f"{_processor()} webhooks", "\n".join([title, "", machine(), "", *lines, ""]))


def write_pace(commit: str, lines: Sequence[str]) -> Path:
    """Write the report of paced replays and return its path."""
    now = datetime.now(UTC)
    title = f"# Paced replays of {commit}, {now:%Y-%m-%d %H:%M} UTC"
    return _record(now, f"{_processor()} pace", "\n".join([title, "", machine(), "", *lines, ""]))


def write_desk(commit: str, lines: Sequence[str]) -> Path:
    """Write the report of the operators' desk and return its path."""
    now = datetime.now(UTC)
    title = f"# The operators' desk of {commit}, {now:%Y-%m-%d %H:%M} UTC"
    return _record(now, f"{_processor()} desk", "\n".join([title, "", machine(), "", *lines, ""]))


def write_idle(name: str, what: str, paces: Mapping[str, Sequence[Pace]]) -> Path:
    """Write the report of the idle share and return its path. `what` describes the jobs; `name` is part of the path."""
    now = datetime.now(UTC)
    lines = [f"# Idle share, {now:%Y-%m-%d %H:%M} UTC", "", machine(), what, "", *pace_table(paces), ""]
    return _record(now, f"{_processor()} idle {name}", "\n".join(lines))


def write_gpu(device: str, lines: Sequence[str], folder: Path = RESULTS) -> Path:
    """Write the report of a GPU, replacing one of the same day, and return its path."""
    now = datetime.now(UTC)
    title = f"# {device}, {now:%Y-%m-%d %H:%M} UTC"
    return _record(now, f"{device} gpu", "\n".join([title, "", machine(), "", *lines]), folder)


def pace_table(paces: Mapping[str, Sequence[Pace]]) -> list[str]:
    """Return a table with the medians of each variant."""
    return [
        f"| a backlog of {next(iter(paces.values()))[0].jobs} jobs | render ms, median |"
        " overhead per job, median ms (target: 5) | p99 ms | idle share of the render process |",
        "|---|---:|---:|---:|---:|",
        *(_pace_row(name, middle(rounds)) for name, rounds in paces.items()),
    ]


def machine() -> str:
    """Return one line that describes this machine."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {_memory_gigabytes():.0f} GB, {platform.system()}"
        f" {platform.release()}, Python {platform.python_version()}."
    )


def render(results: Results, now: datetime) -> str:
    """Return the report of one run."""
    lines = [
        f"# Benchmark of {now:%Y-%m-%d %H:%M} UTC",
        "",
        machine(),
        HOW,
        f"Medians of {_rounds(results.loads.values())} rounds, in which baseline and services take turns."
        " Targets: POST 15 % and GET 30 % of the echo, p99 at most 3 times the median.",
        "",
        *_each(load_table(queued, rounds, results.baselines) for queued, rounds in results.loads.items()),
        "| latency | median ms | p99 ms | target (median) |",
        "|---|---:|---:|---|",
        f"| submit to claim, idle system | {_pair(results.submit_to_claim)} | 10 ms |",
        "",
        *pace_table(results.paces),
        "",
        "| idle process | resident MB | target |",
        "|---|---:|---|",
        *(
            f"| {name} | {megabytes:.0f} | {'70 MB' if name in ('gateway', 'status') else ''} |"
            for name, megabytes in results.memory.items()
        ),
        "",
    ]
    return "\n".join(lines)


def render_comparison(comparison: Comparison, now: datetime) -> str:
    """Return the report of a comparison."""
    first, second = comparison.names
    before, after = comparison.memory
    lines = [
        f"# {first} → {second}, {now:%Y-%m-%d %H:%M} UTC",
        "",
        machine(),
        HOW,
        f"Medians of {_rounds(both[0] for both in comparison.loads.values())} rounds, in which the two take turns."
        " A ratio is the second median over the first.",
        "",
        *_each(comparison_table(queued, *both) for queued, both in comparison.loads.items()),
        "| latency | median ms | p99 ms |",
        "|---|---:|---:|",
        *(
            f"| submit to claim, idle system, {name} | {_pair(latency)} |"
            for name, latency in zip(comparison.names, comparison.submit_to_claim, strict=True)
        ),
        "",
        "| idle process | resident MB |",
        "|---|---:|",
        *(f"| {name} | {_megabytes(before, name)} → {_megabytes(after, name)} |" for name in {**before, **after}),
        "",
    ]
    return "\n".join(lines)


def _rounds(loads: Iterable[Rounds]) -> int:
    return len(next(iter(next(iter(loads)).values())))


def _each(tables: Iterable[list[str]]) -> list[str]:
    return [line for table in tables for line in (*table, "")]


def _megabytes(memory: Mapping[str, float], name: str) -> str:
    return f"{memory[name]:.0f}" if name in memory else "none"


def _record(now: datetime, name: str, text: str, folder: Path = RESULTS) -> Path:
    path = folder / f"{now:%Y-%m-%d}-{_slug(name)}.md"
    path.write_text(text)
    return path


def _pace_row(name: str, pace: Pace) -> str:
    return f"| {name} | {pace.inference_ms:.0f} | {_pair(pace.overhead)} | {pace.idle_share:.1%} |"


def _pair(latency: Latency) -> str:
    return f"{latency.median:.1f} | {latency.p99:.1f}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gigabytes() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _slug(text: str) -> str:
    return "-".join("".join(character if character.isalnum() else " " for character in text.lower()).split())
