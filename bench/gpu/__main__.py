"""`python -m bench.gpu`: measure, print and record. Exits with 1 where something failed or was not measured."""

import argparse
import asyncio
from pathlib import Path

from bench.gpu.results import NotMeasured
from bench.gpu.session import WHOLE, Plan, Session
from bench.gpu.tables import model_lines
from bench.progress import stopwatch
from bench.report import RESULTS, pace_table, write_gpu

SECONDS = 420.0
"""With `make gpu` before it and both set up, less than ten minutes."""


def main(plan: Plan, results: Path) -> int:
    """The exit code."""
    recorded: list[Path] = []

    def record() -> None:
        if session.device is not None:
            name = f"{session.device} tiny" if plan.tiny else session.device
            recorded[:] = [write_gpu(name, report(session), results)]

    session = Session(plan, stopwatch(), record)
    try:
        asyncio.run(session.run())
    finally:  # what was measured is worth seeing however the run ends
        print("\n" + "\n".join(report(session)))
        print(f"Recorded in {recorded[0]}." if recorded else "Nothing was measured, so nothing is recorded.")
    for mistake in session.mistakes:
        print(f"Failed: {mistake}.")
    return 1 if session.mistakes else 0


def report(session: Session) -> list[str]:
    versions = ", ".join(f"{library} {version}" for library, version in sorted(session.versions.items()))
    lines = [f"{versions}.", ""] if versions else []
    lines += [line for subject, results in session.results.items() for line in model_lines(subject, results)]
    if isinstance(session.paces, NotMeasured):
        return [*lines, f"The idle share of {WHOLE} was not measured: {session.paces.reason}.", ""]
    return [*lines, *pace_table({name: [pace] for name, pace in session.paces.items()}), ""]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to try the program")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="what is not measured by then is left out")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the recorded results")
    return parser.parse_args()


if __name__ == "__main__":
    wanted = _arguments()
    raise SystemExit(main(Plan(device=wanted.device, tiny=wanted.tiny, seconds=wanted.seconds), wanted.results))
