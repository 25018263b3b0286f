"""What operators want of a worker, which it reads with each heartbeat."""

import msgspec


class Orders(msgspec.Struct, frozen=True):
    """Both have the same effect on a worker: it finishes its jobs and takes no other, until it is resumed."""

    paused: bool
    """Whether the model is paused."""
    drained: bool
    """Whether this worker is to drain."""
