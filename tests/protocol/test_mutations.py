"""The machine sees: with any rule of the protocol taken out, it finds the breach."""

from types import ModuleType
from typing import Any

import pytest

from tests.protocol.code_mutations import IN_CODE, CodeMutation
from tests.protocol.conftest import OpenStage
from tests.protocol.invariants import BrokenPromiseError
from tests.protocol.mutations import IN_QUERIES, IN_SCHEMA, Mutation, sabotage, spoil_queries
from tests.protocol.playing import play

RUNS = 1000
"""At the most: a run that finds the breach is the last."""


def _case(*values: Any) -> Any:
    return pytest.param(*values, id=values[-1].name)


@pytest.mark.parametrize("mutation", [_case(mutation) for mutation in IN_SCHEMA])
def test_a_spoilt_function_is_found_out(open_stage: OpenStage, mutation: Mutation) -> None:
    """Each rule that a database function carries is missed when it is gone."""
    with open_stage(sabotage(mutation)) as stage, pytest.raises(BrokenPromiseError, match=mutation.breach):
        play(stage, RUNS, opening=mutation.opening, shorten=False)


@pytest.mark.parametrize("mutation", [_case(mutation) for mutation in IN_CODE])
def test_spoilt_code_is_found_out(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch, mutation: CodeMutation
) -> None:
    """Each rule that a service's code carries is missed when it is gone."""
    monkeypatch.setattr(mutation.owner, mutation.attribute, mutation.without)
    with open_stage() as stage, pytest.raises(BrokenPromiseError, match=mutation.breach):
        play(stage, RUNS, opening=mutation.opening, shorten=False)


@pytest.mark.parametrize(("store", "mutation"), [_case(*each) for each in IN_QUERIES])
def test_a_spoilt_query_is_found_out(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch, store: ModuleType, mutation: Mutation
) -> None:
    """Each rule that a service's query carries is missed when it is gone."""
    spoil_queries(monkeypatch, store, mutation)
    with open_stage() as stage, pytest.raises(BrokenPromiseError, match=mutation.breach):
        play(stage, RUNS, opening=mutation.opening, shorten=False)
