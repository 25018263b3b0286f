"""The recorded results: one Markdown file a run, named by date and machine."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from bench.backlog import Pace, middle
from bench.load import Figures
from bench.measures import Latency

RESULTS = Path(__file__).with_name("results")


class Results(msgspec.Struct, frozen=True):
    """One run's figures; the lists hold one entry per round."""

    echo_post: list[Figures]
    post: list[Figures]
    echo_get: list[Figures]
    get_succeeded: list[Figures]
    get_queued: list[Figures]
    submit_to_claim: Latency
    paces: Mapping[str, Sequence[Pace]]
    """Of a backlog, by variant."""
    memory: Mapping[str, float]
    """Resident memory of each idle process, in 10^6 bytes."""


def write(results: Results) -> Path:
    """Write the report and return its path."""
    now = datetime.now(UTC)
    return _record(now, _processor(), render(results, now))


def write_idle(name: str, what: str, paces: Mapping[str, Sequence[Pace]]) -> Path:
    """Write the report of the idle share alone and return its path. `what` was rendered; `name` goes into the path."""
    now = datetime.now(UTC)
    lines = [f"# Idle share, {now:%Y-%m-%d %H:%M} UTC", "", machine(), what, "", *pace_table(paces), ""]
    return _record(now, f"{_processor()} idle {name}", "\n".join(lines))


def write_gpu(device: str, lines: Sequence[str]) -> Path:
    """Write the report of a GPU and return its path."""
    now = datetime.now(UTC)
    title = f"# {device}, {now:%Y-%m-%d %H:%M} UTC"
    return _record(now, device, "\n".join([title, "", machine(), "", *lines, ""]))


def pace_table(paces: Mapping[str, Sequence[Pace]]) -> list[str]:
    """A row a variant, the medians of its rounds."""
    return [
        f"| a backlog of {next(iter(paces.values()))[0].jobs} jobs | render ms, median |"
        " overhead per job, median ms (aim: 5) | p99 ms | idle share of the render process |",
        "|---|---:|---:|---:|---:|",
        *(_pace_row(name, middle(rounds)) for name, rounds in paces.items()),
    ]


def machine() -> str:
    return (
        f"{_processor()}, {os.cpu_count()} cores, {_memory_gigabytes():.0f} GB, {platform.system()}"
        f" {platform.release()}, Python {platform.python_version()}."
    )


def render(results: Results, now: datetime) -> str:
    lines = [
        f"# Benchmark of {now:%Y-%m-%d %H:%M} UTC",
        "",
        machine(),
        "One process each; the load runs on the same cores."
        f" Medians of {len(results.post)} rounds, the yardstick and the services in turn.",
        "",
        "| 32 connections | requests/s | of the echo | p50 ms | p99 ms | aim |",
        "|---|---:|---:|---:|---:|---|",
        _load_row("bare echo, POST", results.echo_post, results.echo_post, ""),
        _load_row("gateway, POST /v1/jobs, committed", results.post, results.echo_post, "15 %"),
        _load_row("bare echo, GET", results.echo_get, results.echo_get, ""),
        _load_row("status, GET a succeeded job", results.get_succeeded, results.echo_get, "30 %"),
        _load_row("status, GET a queued job deep in the queue", results.get_queued, results.echo_get, "30 %"),
        "",
        "| latency | median ms | p99 ms | aim (median) |",
        "|---|---:|---:|---|",
        f"| submit to claim, idle system | {_pair(results.submit_to_claim)} | 10 ms |",
        "",
        *pace_table(results.paces),
        "",
        "| idle process | resident MB | aim |",
        "|---|---:|---|",
        *(
            f"| {name} | {megabytes:.0f} | {'70 MB' if name in ('gateway', 'status') else ''} |"
            for name, megabytes in results.memory.items()
        ),
        "",
    ]
    return "\n".join(lines)


def _record(now: datetime, name: str, text: str) -> Path:
    path = RESULTS / f"{now:%Y-%m-%d}-{_slug(name)}.md"
    path.write_text(text)
    return path


def _pace_row(name: str, pace: Pace) -> str:
    return f"| {name} | {pace.inference_ms:.0f} | {_pair(pace.overhead)} | {pace.idle_share:.1%} |"


def _load_row(name: str, rounds: list[Figures], yardstick: list[Figures], aim: str) -> str:
    # The ratio is taken within each round, so that a noisy minute strikes both alike.
    share = median(own.rate / echo.rate for own, echo in zip(rounds, yardstick, strict=True))
    rate, p50, p99 = (median(getattr(each, figure) for each in rounds) for figure in ("rate", "p50_ms", "p99_ms"))
    return f"| {name} | {rate:,.0f} | {share:.0%} | {p50:.1f} | {p99:.1f} | {aim} |"


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
