"""Events with weights and drawn arguments: a machine of equals would spend its steps on disasters.

Drawn by a generator of our own. Hypothesis' engine expects of equal draws that they are followed by equal questions;
here a database answers two coroutines in either order, and that is what is to be tested.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., None])
Choice = Callable[[Random], Any]


def number(least: int, most: int) -> Choice:
    return lambda random: random.randint(least, most)


def one_of(*things: object) -> Choice:
    return lambda random: random.choice(things)


def several(choice: Choice, most: int) -> Choice:
    """Choose one up to `most` times."""
    return lambda random: [choice(random) for _ in range(random.randint(1, most))]


PICK = number(0, 11)
"""Which of those that an event could be about, counted around."""
WHETHER = one_of(False, True)


@dataclass(frozen=True)
class Event:
    name: str
    weight: int
    may_happen: Callable[[Any], object]
    choices: dict[str, Choice]


@dataclass(frozen=True)
class Happening:
    """An event with its arguments."""

    name: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


def event(weight: int, when: Callable[[Any], object], **choices: Choice) -> Callable[[F], F]:
    """Let a method happen `weight` times as often as one of weight 1, while `when` holds, with drawn arguments."""

    def mark(method: F) -> F:
        method.event = Event(method.__name__, weight, when, choices)  # type: ignore[attr-defined]
        return method

    return mark


def events_of(machine: type) -> dict[str, Event]:
    members = (getattr(machine, name) for name in dir(machine))
    return {member.event.name: member.event for member in members if hasattr(member, "event")}


def draw(machine: object, events: dict[str, Event], random: Random) -> Happening:
    """One of the events that may happen now, and what it is about."""
    possible = [each for each in events.values() if each.may_happen(machine)]
    (chosen,) = random.choices(possible, [each.weight for each in possible])
    return Happening(chosen.name, {name: choice(random) for name, choice in chosen.choices.items()})
