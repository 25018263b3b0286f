from darkroom_contracts.states import TERMINAL, TRANSITIONS, JobStatus


def test_only_a_replay_leaves_a_terminal_state() -> None:
    """The terminal states are those that nothing but a replay of a failed job leaves."""
    assert {status for status in JobStatus if not TRANSITIONS[status] - {JobStatus.QUEUED}} == TERMINAL
    assert {status for status in TERMINAL if TRANSITIONS[status]} == {JobStatus.FAILED}


def test_the_names_are_pinned() -> None:
    """Clients read these words."""
    assert [str(status) for status in JobStatus] == ["queued", "running", "succeeded", "failed", "canceled", "expired"]
