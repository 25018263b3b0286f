"""The rules of access, held to the route table."""

from darkroom_contracts.api import Scope
from darkroom_contracts.routes import ROUTES
from tests.support.access_rules import RULES, Data


def test_every_route_has_a_rule() -> None:
    """A new route says in tests/support/access_rules.py who may use it; a rule without a route is removed."""
    assert {route.name for route in ROUTES} == RULES.keys()


def test_a_route_needs_the_scope_of_its_rule() -> None:
    """The table, which services enforce, says what the rule expects."""
    assert {route.name: route.scope for route in ROUTES} == {name: rule.scope for name, rule in RULES.items()}


def test_only_operators_change_what_all_tenants_share() -> None:
    """Observers have no route that acts, and clients none of the desk."""
    methods = {route.name: route.method for route in ROUTES}
    for name, rule in RULES.items():
        assert (rule.data is Data.DESK) == (rule.scope is not Scope.CLIENT)
        assert rule.scope is not Scope.OBSERVER or methods[name] == "GET"
