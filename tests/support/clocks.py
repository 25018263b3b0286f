"""Time that tests move."""


class Clock:
    """Stands still until the test says so; called, it answers its seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds
