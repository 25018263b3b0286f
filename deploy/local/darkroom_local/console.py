"""What a person sees: one line for each thing done."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Show that something goes on, then that it is done and how long it took."""
    started = monotonic()
    with console.status(f"{what} ..."):
        yield
    console.print(f"[green]✓[/] {what} [dim]{monotonic() - started:.1f} s[/]")
