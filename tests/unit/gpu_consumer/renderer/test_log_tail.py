"""The last lines of the render process's output."""

import asyncio

from gpu_consumer.renderer.log_tail import LINES_KEPT, LogTail


async def tail_of(*chunks: bytes) -> LogTail:
    stream = asyncio.StreamReader()
    for chunk in chunks:
        stream.feed_data(chunk)
    stream.feed_eof()
    tail = LogTail(stream)
    await tail.run()
    return tail


async def test_lines_are_put_together_and_the_last_are_kept() -> None:
    """Lines are kept whole however the stream is cut into chunks; empty lines are dropped."""
    tail = await tail_of(b"a\nb", b"c\n\n", b"".join(b"%d\n" % number for number in range(LINES_KEPT)), b"end")
    assert len(tail.lines) == LINES_KEPT
    assert tail.lines[-2:] == (str(LINES_KEPT - 1), "end")
    assert (await tail_of(b"a\nb", b"c\n\n")).lines == ("a", "bc")


async def test_lines_are_fit_for_postgres() -> None:
    """Any bytes become text that Postgres can store."""
    assert (await tail_of(b"a\x00b\xff\n")).lines == ("a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}",)


async def test_what_came_since_a_mark() -> None:
    """`since` returns only the lines after the mark."""
    stream = asyncio.StreamReader()
    tail = LogTail(stream)
    reading = asyncio.create_task(tail.run())
    stream.feed_data(b"before\n")
    await asyncio.sleep(0)
    mark = tail.count
    stream.feed_data(b"after\nall\n")
    stream.feed_eof()
    await reading
    assert tail.since(mark) == ("after", "all")
    assert tail.since(tail.count) == ()
    assert tail.since(0) == ("before", "after", "all")
