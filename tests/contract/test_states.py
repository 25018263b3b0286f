from darkroom_contracts.states import TERMINAL, TRANSITIONS, JobStatus


def test_only_a_replay_leaves_a_terminal_state() -> None:
    """Terminal states have no transitions but the replay of a failed job."""
    assert {status for status in JobStatus if not TRANSITIONS[status] - {JobStatus.QUEUED}} == TERMINAL
    assert {status for status in TERMINAL if TRANSITIONS[status]} == {JobStatus.FAILED}


def test_the_names_are_pinned() -> None:
    """Clients depend on these values."""
    assert [str(status) for status in JobStatus] == ["queued", "running", "succeeded", "failed", "canceled", "expired"]
