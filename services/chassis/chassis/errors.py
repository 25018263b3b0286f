"""The chassis' errors. Each adapter translates its driver's exceptions at the call that raises them.

    UnavailableError                  RabbitMQ, Postgres or S3 is unavailable; try again later
    ├── BrokerUnavailableError
    ├── DatabaseUnavailableError      also a TransientDatabaseError
    │   └── SchemaMissingError
    └── StorageUnavailableError
    UnroutableError                   the broker has no queue for a message
    RefusedError                      the broker did not take a message
    DatabaseError
    ├── TransientDatabaseError        the same call may succeed later
    │   ├── DatabaseUnavailableError
    │   ├── DatabaseBusyError
    │   └── TransactionClashError
    └── BadDataError
    FatalError                        the service can't go on; it exits with the error's code

An exception that an adapter does not expect is not translated, so that a bug never looks like an outage.
"""


class UnavailableError(Exception):
    """A server that the service depends on can't be reached, or did not answer in time."""


class BrokerUnavailableError(UnavailableError):
    """RabbitMQ can't be reached, or did not answer in time; whether a publish arrived is unknown."""


class UnroutableError(Exception):
    """No queue is bound for the message; the broker returned it."""


class RefusedError(Exception):
    """The broker refused the message (nack): its queue is full or lost."""


class StorageUnavailableError(UnavailableError):
    """S3 can't be reached, or refused the request."""


class DatabaseError(Exception):
    """Base of all errors of database calls."""


class TransientDatabaseError(DatabaseError):
    """The call failed, and may succeed when it is repeated later."""


class DatabaseUnavailableError(TransientDatabaseError, UnavailableError):
    """Postgres can't be reached, is shutting down, or has no schema (SchemaMissingError)."""

    def __init__(self, reason: str, *, in_doubt: bool = True) -> None:
        super().__init__(reason)
        self.in_doubt = in_doubt
        """Whether the last statement may have taken effect. False when it was never sent."""


class SchemaMissingError(DatabaseUnavailableError):
    """A table or a function is missing: the database is not migrated, or is being restored. Nothing was done."""


class DatabaseBusyError(TransientDatabaseError):
    """All connections of the pool are in use, and no more callers may wait for one. Nothing was sent."""


class TransactionClashError(TransientDatabaseError):
    """A deadlock or a serialisation failure ended the transaction; running it again is safe."""


class BadDataError(DatabaseError):
    """Postgres refused a value or a row, and with it the whole statement."""


class FatalError(Exception):
    """The service can't go on. A supervisor sees the exit code, people see the code and the message in the log."""

    def __init__(self, message: str, *, code: str, exit_code: int) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code
