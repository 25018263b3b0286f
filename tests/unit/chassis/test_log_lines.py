"""Buffered log lines."""

import asyncio
import io

from chassis.log_lines import Lines, LineWriter


class Recorder(io.StringIO):
    """A file that records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


async def test_lines_of_one_turn_leave_in_one_write() -> None:
    """Lines of one iteration of the event loop are written together."""
    file = Recorder()
    writer = LineWriter(Lines(file))

    async def answer(number: int) -> None:
        writer.info(f"{number}")

    await asyncio.gather(*map(answer, range(3)))
    await asyncio.sleep(0)
    assert file.writes == ["0\n1\n2\n"]


async def test_each_turn_writes_its_own() -> None:
    """A line is written at the end of its iteration."""
    file = Recorder()
    writer = LineWriter(Lines(file))
    for line in ("one", "two"):
        writer.info(line)
        await asyncio.sleep(0)
    assert file.writes == ["one\n", "two\n"]


async def test_a_warning_is_written_at_once_with_all_before_it() -> None:
    """A warning is written at once, because the process may end next."""
    file = Recorder()
    writer = LineWriter(Lines(file))
    writer.info("calm")
    writer.warning("grave")
    assert file.writes == ["calm\ngrave\n"]


def test_without_an_event_loop_each_line_is_written_at_once() -> None:
    """Without an event loop lines are written at once."""
    file = Recorder()
    writer = LineWriter(Lines(file))
    writer.info("one")
    writer.info("two")
    assert file.writes == ["one\n", "two\n"]
