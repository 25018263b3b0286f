"""Live progress: the latest events in memory."""

import pytest

from darkroom_contracts.messages.v1 import Preview, Progress, Render, encode
from status.live import EVENTS, LiveProgress
from tests.support.job_rows import numbered

JOB = numbered(1)


@pytest.fixture
def live() -> LiveProgress:
    live = LiveProgress()
    live.note(encode(Progress(JOB, generation=2, attempt=1, step=4, steps=20)))
    return live


def test_the_latest_step_of_the_attempt_is_told(live: LiveProgress) -> None:
    """A newer event replaces an older one."""
    newer = Progress(JOB, generation=2, attempt=1, step=5, steps=20)
    live.note(encode(newer))
    assert live.of(JOB, 2, 1) == newer


@pytest.mark.parametrize(("generation", "attempt"), [(1, 1), (2, 2), (3, 1)])
def test_a_step_of_another_attempt_is_not_told(live: LiveProgress, generation: int, attempt: int) -> None:
    """A late event of the previous attempt does not count for the new one."""
    assert live.of(JOB, generation, attempt) is None


@pytest.mark.parametrize(("generation", "attempt"), [(1, 3), (2, 0)])
def test_a_worker_that_lost_its_lease_hides_no_step(live: LiveProgress, generation: int, attempt: int) -> None:
    """Cut off from the database it renders on beside the next attempt, whose progress must not go back and forth."""
    live.note(encode(Progress(JOB, generation, attempt, step=9, steps=20)))
    latest = live.of(JOB, 2, 1)
    assert latest is not None
    assert latest.step == 4


def test_an_unknown_job_has_no_step(live: LiveProgress) -> None:
    """Most jobs have no event."""
    assert live.of(numbered(2), 1, 1) is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"type":"darkroom.progress.v9"}', encode(Render(JOB, 1, "tiny", "00-0-0-01"))]
)
def test_what_cannot_be_read_is_counted_and_dropped(live: LiveProgress, body: bytes) -> None:
    """Events of another version do not stop the service."""
    before = EVENTS.labels("undecodable")._value.get()
    live.note(body)
    assert EVENTS.labels("undecodable")._value.get() == before + 1
    assert live.of(JOB, 2, 1) is not None


def test_a_preview_is_no_step_and_no_mistake(live: LiveProgress) -> None:
    """Previews arrive through the same exchange and leave the latest step unchanged."""
    before = EVENTS.labels("undecodable")._value.get()
    live.note(encode(Preview(JOB, generation=2, attempt=1, step=6, width=8, height=8, png=b"")))
    assert EVENTS.labels("undecodable")._value.get() == before
    latest = live.of(JOB, 2, 1)
    assert latest is not None
    assert latest.step == 4


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest steps are dropped."""
    monkeypatch.setattr("status.live.MOST_JOBS", 10)
    live = LiveProgress()
    for number in range(1, 31):
        live.note(encode(Progress(numbered(number), 1, 1, 1, 20)))
    assert [number for number in range(1, 31) if live.of(numbered(number), 1, 1)] == list(range(21, 31))
