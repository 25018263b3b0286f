"""Former names of `chassis.broker`, `chassis.publishing` and `chassis.errors`, until every importer has moved."""

from chassis.broker import CONNECT_TIMEOUT_SECONDS, Broker, close_quietly
from chassis.errors import BrokerUnavailableError, RefusedError, UnroutableError
from chassis.publishing import PUBLISH_TIMEOUT_SECONDS, Announcer, Publisher

__all__ = [
    "CONNECT_TIMEOUT_SECONDS",
    "PUBLISH_TIMEOUT_SECONDS",
    "Announcer",
    "Broker",
    "BrokerUnavailableError",
    "Publisher",
    "RefusedError",
    "UnroutableError",
    "close_quietly",
]
