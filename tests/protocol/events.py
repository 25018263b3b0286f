"""Events with weights: a rule of hypothesis' has none, and a machine of equals spends its steps on disasters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis.strategies import DataObject, SearchStrategy, sampled_from

F = TypeVar("F", bound=Callable[..., None])


@dataclass(frozen=True)
class Event:
    name: str
    weight: int
    may_happen: Callable[[Any], object]
    choices: dict[str, SearchStrategy[Any]]


def event(weight: int, when: Callable[[Any], object], **choices: SearchStrategy[Any]) -> Callable[[F], F]:
    """Let a method happen `weight` times as often as one of weight 1, while `when` holds, with drawn arguments."""

    def mark(method: F) -> F:
        method.event = Event(method.__name__, weight, when, choices)  # type: ignore[attr-defined]
        return method

    return mark


def events_of(machine: type) -> list[Event]:
    members = (getattr(machine, name) for name in dir(machine))
    return sorted((member.event for member in members if hasattr(member, "event")), key=lambda each: -each.weight)


def happen(machine: Any, events: list[Event], data: DataObject) -> None:
    """Draw one of the events that may happen now, and what it is about."""
    possible = [each for each in events if each.may_happen(machine)]
    name = data.draw(sampled_from([each.name for each in possible for _ in range(each.weight)]), label="event")
    chosen = next(each for each in possible if each.name == name)
    getattr(machine, name)(**{what: data.draw(how, label=what) for what, how in chosen.choices.items()})
