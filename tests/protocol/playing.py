"""Runs the whole machine."""

from collections.abc import Callable, Iterable
from random import Random, SystemRandom

from tests.protocol.events import Happening, draw, events_of
from tests.protocol.machine import Stage
from tests.protocol.openings import Opening
from tests.protocol.operations_rules import OperationsRules
from tests.protocol.outer_rules import OuterRules
from tests.protocol.stack_rules import StackRules
from tests.protocol.worker_rules import WorkerRules

EVENTS_A_RUN = 80
MOST_TRIES_TO_SHORTEN = 100


class Protocol(OuterRules, WorkerRules, OperationsRules, StackRules):
    """Clients, relay, broker, workers, operations and time, in any order."""


EVENTS = events_of(Protocol)
BEGINNING = Protocol.two_workers_and_some_jobs.__name__
Source = Callable[[Protocol], Iterable[Happening]]


def play(stage: Stage, runs: int, *, opening: Opening = (), repeatable: bool = True, shorten: bool = True) -> None:
    """Play the protocol `runs` times, from the opening or its beginning. Raises what the first broken run raised.

    Its notes tell the events that led to it, and fewer of them that do, where some could be left out.
    """
    first = 0 if repeatable else SystemRandom().randrange(2**32)
    for seed in range(first, first + runs):
        story: list[Happening] = []
        error = _perform(stage, _drawn(Random(seed), opening), story)
        if error is None:
            continue
        error.add_note(f"Seed {seed}:{_told(story)}")
        if shorten:
            error.add_note(f"Shortened:{_told(_shortened(stage, story, error))}")
        raise error


def _drawn(random: Random, opening: Opening) -> Source:
    def source(machine: Protocol) -> Iterable[Happening]:
        yield from opening or [draw(machine, {BEGINNING: EVENTS[BEGINNING]}, random)]
        for _ in range(EVENTS_A_RUN):
            yield draw(machine, EVENTS, random)

    return source


def _again(story: list[Happening]) -> Source:
    """Events whose guards do not hold are left out."""
    return lambda machine: (each for each in story if EVENTS[each.name].may_happen(machine))


def _perform(stage: Stage, source: Source, story: list[Happening]) -> Exception | None:
    """Play one run to its fair end, and tell what happened. Returns what broke it."""
    machine = Protocol(stage)
    try:
        for happening in source(machine):
            story.append(happening)
            getattr(machine, happening.name)(**happening.arguments)
            machine.all_promises_hold()
        machine.come_to_the_end()
    except Exception as error:
        return error
    finally:
        machine.clear_away()
    return None


def _shortened(stage: Stage, story: list[Happening], error: Exception) -> list[Happening]:
    """Leave out ever smaller pieces, as long as the same kind of error comes of it."""
    size, tries = len(story) // 2, 0
    while size and tries < MOST_TRIES_TO_SHORTEN:
        start = 0
        while start < len(story) and tries < MOST_TRIES_TO_SHORTEN:
            tried: list[Happening] = []
            again = _perform(stage, _again(story[:start] + story[start + size :]), tried)
            tries += 1
            if type(again) is type(error):
                story = tried
            else:
                start += size
        size //= 2
    return story


def _told(story: list[Happening]) -> str:
    return "".join(f"\n  {happening}" for happening in story)
