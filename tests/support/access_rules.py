"""Who may use which route of the API, and whose data it is about: the expectation, kept apart from the route table.

A new route needs a line here. tests/contract/test_access_rules.py compares the lines with the table, and
tests/e2e/test_access.py sends every kind of key to every route of running services.
"""

from enum import Enum, auto
from typing import NamedTuple

from darkroom_contracts.api import Scope


class Data(Enum):
    """Whose data a route is about."""

    OWN = auto()
    """An item that belongs to a tenant. To another tenant it is as unknown as one that never was."""
    LISTED = auto()
    """A list of what belongs to the key's tenant."""
    NEW = auto()
    """What the request makes for the key's tenant."""
    PUBLIC = auto()
    """The same for every tenant, and about none."""
    DESK = auto()
    """What operators see and do: of all tenants, whichever the key belongs to."""


class Rule(NamedTuple):
    """Who may use a route."""

    scope: Scope
    data: Data

    @property
    def allowed(self) -> set[Scope]:
        """Scopes of the keys that the route accepts."""
        return {self.scope, Scope.OPERATOR}


_CLIENT, _OBSERVER, _OPERATOR = Scope.CLIENT, Scope.OBSERVER, Scope.OPERATOR

RULES = {
    "submit_job": Rule(_CLIENT, Data.NEW),
    "get_job": Rule(_CLIENT, Data.OWN),
    "get_output": Rule(_CLIENT, Data.OWN),
    "cancel_job": Rule(_CLIENT, Data.OWN),
    "retry_job": Rule(_CLIENT, Data.OWN),
    "delete_job": Rule(_CLIENT, Data.OWN),
    "list_models": Rule(_CLIENT, Data.PUBLIC),
    "create_endpoint": Rule(_CLIENT, Data.NEW),
    "list_endpoints": Rule(_CLIENT, Data.LISTED),
    "get_endpoint": Rule(_CLIENT, Data.OWN),
    "change_endpoint": Rule(_CLIENT, Data.OWN),
    "delete_endpoint": Rule(_CLIENT, Data.OWN),
    "test_endpoint": Rule(_CLIENT, Data.OWN),
    "rotate_secret": Rule(_CLIENT, Data.OWN),
    "get_endpoint_stats": Rule(_CLIENT, Data.OWN),
    "recover_endpoint": Rule(_CLIENT, Data.OWN),
    "list_deliveries": Rule(_CLIENT, Data.LISTED),
    "get_delivery": Rule(_CLIENT, Data.OWN),
    "redeliver": Rule(_CLIENT, Data.OWN),
    "list_queues": Rule(_OBSERVER, Data.DESK),
    "pause_queue": Rule(_OPERATOR, Data.DESK),
    "resume_queue": Rule(_OPERATOR, Data.DESK),
    "list_workers": Rule(_OBSERVER, Data.DESK),
    "drain_worker": Rule(_OPERATOR, Data.DESK),
    "resume_worker": Rule(_OPERATOR, Data.DESK),
    "list_groups": Rule(_OBSERVER, Data.DESK),
    "get_group": Rule(_OBSERVER, Data.DESK),
    "note_group": Rule(_OPERATOR, Data.DESK),
    "list_keys": Rule(_OBSERVER, Data.DESK),
    "create_key": Rule(_OPERATOR, Data.DESK),
    "rotate_key": Rule(_OPERATOR, Data.DESK),
    "revoke_key": Rule(_OPERATOR, Data.DESK),
    "read_audit": Rule(_OBSERVER, Data.DESK),
    "list_dead_letters": Rule(_OBSERVER, Data.DESK),
    "export_dead_letters": Rule(_OBSERVER, Data.DESK),
    "get_dead_letter": Rule(_OBSERVER, Data.DESK),
    "discard_dead_letters": Rule(_OPERATOR, Data.DESK),
    "reveal_dead_letter": Rule(_OPERATOR, Data.DESK),
    "discard_dead_letter": Rule(_OPERATOR, Data.DESK),
    "restore_dead_letter": Rule(_OPERATOR, Data.DESK),
    "replay_letter": Rule(_OPERATOR, Data.DESK),
    "plan_replay": Rule(_OPERATOR, Data.DESK),
    "list_replays": Rule(_OBSERVER, Data.DESK),
    "get_replay": Rule(_OBSERVER, Data.DESK),
    "list_replay_items": Rule(_OBSERVER, Data.DESK),
    "start_replay": Rule(_OPERATOR, Data.DESK),
    "pause_replay": Rule(_OPERATOR, Data.DESK),
    "resume_replay": Rule(_OPERATOR, Data.DESK),
    "cancel_replay": Rule(_OPERATOR, Data.DESK),
}
"""Rules by the names of the routes."""
