"""Runs the whole machine."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.protocol.machine import Stage
from tests.protocol.operations_rules import OperationsRules
from tests.protocol.outer_rules import OuterRules
from tests.protocol.worker_rules import WorkerRules

EVENTS_A_RUN = 80


class Protocol(OuterRules, WorkerRules, OperationsRules):
    """Clients, relay, broker, workers, operations and time, in any order."""


def play(stage: Stage, runs: int, *, repeatable: bool = True, shrink: bool = True) -> None:
    """Play the protocol from its beginning, `runs` times. Raises what the first broken run raised."""
    how = settings(
        max_examples=runs,
        stateful_step_count=EVENTS_A_RUN,
        derandomize=repeatable,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: Protocol(stage), settings=how)  # type: ignore[arg-type]
