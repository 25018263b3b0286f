"""`python -m bench.gpu`: measure, print and record. Exits with 1 when something failed or was not measured."""

import argparse
import asyncio
from pathlib import Path

from bench.gpu.results import NotMeasured
from bench.gpu.session import WHOLE, Plan, Session
from bench.gpu.tables import model_lines
from bench.progress import stopwatch
from bench.report import RESULTS, pace_table, write_gpu

SECONDS = 420.0
"""Time limit. Together with `make gpu` before it, a run takes less than ten minutes."""


def main(plan: Plan, results: Path) -> int:
    """Run a session, print and record its report, and return the exit code."""
    recorded: list[Path] = []

    def record() -> None:
        if session.device is not None:
            name = f"{session.device} tiny" if plan.tiny else session.device
            recorded[:] = [write_gpu(name, report(session), results)]

    session = Session(plan, stopwatch(), record)
    try:
        asyncio.run(session.run())
    finally:  # the results so far are shown also when the run fails
        print("\n" + "\n".join(report(session)))
        print(f"Recorded in {recorded[0]}." if recorded else "Nothing was measured, so nothing is recorded.")
    for defect in session.defects:
        print(f"Failed: {defect}.")
    return 1 if session.defects else 0


def report(session: Session) -> list[str]:
    """Return the lines of the report."""
    versions = ", ".join(f"{library} {version}" for library, version in sorted(session.versions.items()))
    lines = [f"{versions}.", ""] if versions else []
    lines += [line for subject, results in session.results.items() for line in model_lines(subject, results)]
    if isinstance(session.paces, NotMeasured):
        return [*lines, f"The idle share of {WHOLE} was not measured: {session.paces.reason}.", ""]
    return [*lines, *pace_table({name: [pace] for name, pace in session.paces.items()}), ""]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="use tiny models, to try the program")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time limit; later variants are not measured")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the reports")
    return parser.parse_args()


if __name__ == "__main__":
    wanted = _arguments()
    raise SystemExit(main(Plan(device=wanted.device, tiny=wanted.tiny, seconds=wanted.seconds), wanted.results))
