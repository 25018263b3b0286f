"""`python -m bench` measures this checkout; `python -m bench compare --against FOLDER` compares another one with it."""

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path

from bench import idle
from bench.checkout import Checkout
from bench.plan import FULL, QUICK, Plan
from bench.progress import Progress, stopwatch
from bench.report import Comparison, Results, render, render_comparison, write, write_comparison
from bench.scenarios import BODY, SCENARIOS, echoed
from bench.sides import idle_latencies, idle_memory, measure_loads, open_sides
from bench.stack import WORKER, echo_server

ECHO_GET, ECHO_POST = "bare echo, GET", "bare echo, POST"
OWN, BEFORE, AFTER = "darkroom", "A", "B"
BASELINES = {ECHO_GET: ECHO_GET, ECHO_POST: ECHO_POST} | {
    scenario.name: ECHO_POST if scenario.submits else ECHO_GET for scenario in SCENARIOS
}


async def main(plan: Plan, against: Path | None) -> None:
    progress = stopwatch()
    if against is None:
        results = await measure_own(plan, progress)
        _show(write(results) if plan.recorded else None, render(results, datetime.now(UTC)))
    else:
        comparison = await compare(Checkout.at(against), Checkout.own(), plan, progress)
        _show(write_comparison(comparison) if plan.recorded else None, render_comparison(comparison, datetime.now(UTC)))


async def measure_own(plan: Plan, progress: Progress) -> Results:
    """Measure this checkout and the baseline in turn."""
    async with open_sides({OWN: Checkout.own()}, progress) as sides:
        memory = idle_memory(sides[0])
        progress("submit to claim")
        (latency,) = await idle_latencies(sides, plan)
        sides[0].target.supervisor.stop(WORKER)
        with echo_server() as echo:
            paces = await idle.compare(sides[0].target, sides[0].database, rounds=plan.idle_rounds, progress=progress)
            baselines = (echoed(ECHO_GET, echo), echoed(ECHO_POST, echo, BODY))
            loads = await measure_loads(sides, plan, (*baselines, *SCENARIOS), progress)
    own = {queued: rounds[OWN] for queued, rounds in loads.items()}
    return Results(loads=own, baselines=BASELINES, submit_to_claim=latency, paces=paces, memory=memory)


async def compare(before: Checkout, after: Checkout, plan: Plan, progress: Progress) -> Comparison:
    """Measure two checkouts in turn, each on its own stack."""
    async with open_sides({BEFORE: before, AFTER: after}, progress) as sides:
        one, other = map(idle_memory, sides)
        progress("submit to claim")
        first, second = await idle_latencies(sides, plan)
        loads = await measure_loads(sides, plan, SCENARIOS, progress)
    return Comparison(
        names=(before.commit(), after.commit()),
        loads={queued: (rounds[BEFORE], rounds[AFTER]) for queued, rounds in loads.items()},
        submit_to_claim=(first, second),
        memory=(one, other),
    )


def _show(recorded: Path | None, report: str) -> None:
    print(f"\n{report}")
    print(f"Recorded in {recorded}" if recorded else "Not recorded: --quick is a trial run.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="run one short round on smaller backlogs, record nothing")
    commands = parser.add_subparsers(dest="command")
    comparing = commands.add_parser("compare", help="compare another checkout with this one")
    comparing.add_argument("--against", type=Path, required=True, metavar="FOLDER", help="the other checkout, set up")
    comparing.add_argument("--quick", action="store_true", default=argparse.SUPPRESS, help="as before the command")
    return parser.parse_args()


if __name__ == "__main__":
    wanted = _arguments()
    asyncio.run(main(QUICK if wanted.quick else FULL, getattr(wanted, "against", None)))
