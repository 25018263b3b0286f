import pytest

from darkroom.console import CommandError
from darkroom.desk_commands import confirming
from darkroom.desk_commands.confirming import confirm, confirm_count, require_terminal


class Terminal:
    """Where answers are typed, and Ctrl-C after the last one."""

    def __init__(self, answers: list[str]) -> None:
        self._answers = answers

    def readline(self) -> str:
        if not self._answers:
            raise KeyboardInterrupt
        return f"{self._answers.pop(0)}\n"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of what somebody types at a terminal."""
    answers: list[str] = []
    monkeypatch.setattr(confirming, "is_interactive", lambda: True)
    monkeypatch.setattr("sys.stdin", Terminal(answers))
    return answers


@pytest.mark.parametrize("answer", ["1200", "1,200", " 1200 "])
def test_the_number_confirms(typed: list[str], capsys: pytest.CaptureFixture[str], answer: str) -> None:
    """What will happen is printed before, on stderr."""
    typed.append(answer)
    confirm_count("1,200 dead letters will be discarded.", 1200, yes=False)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("1,200 dead letters will be discarded.\nType 1200 to confirm")


@pytest.mark.parametrize("answer", ["", "y", "yes", "120", "12000", "-1200"])
def test_another_answer_refuses(typed: list[str], answer: str) -> None:
    """An empty one too."""
    typed.append(answer)
    with pytest.raises(CommandError, match="Nothing was done: the answer was not 1200"):
        confirm_count("1,200 dead letters will be discarded.", 1200, yes=False)


def test_any_text_can_be_asked_for(typed: list[str]) -> None:
    """Such as a name."""
    typed.append("gpu-1")
    confirm("gpu-1 will be drained.", "gpu-1", yes=False)


def test_ctrl_c_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an empty answer does."""
    monkeypatch.setattr(confirming, "is_interactive", lambda: True)
    monkeypatch.setattr("sys.stdin", Terminal([]))
    with pytest.raises(CommandError, match="Nothing was done"):
        confirm("gpu-1 will be drained.", "gpu-1", yes=False)


def test_yes_asks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It still prints what happens."""
    confirm_count("2 dead letters will be discarded.", 2, yes=True)
    assert capsys.readouterr().err == "2 dead letters will be discarded.\n"


def test_without_a_terminal_yes_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the option."""
    monkeypatch.setattr(confirming, "is_interactive", lambda: False)
    with pytest.raises(CommandError, match="give --yes"):
        require_terminal(yes=False)
    with pytest.raises(CommandError, match="give --yes"):
        confirm_count("2 dead letters will be discarded.", 2, yes=False)


def test_nothing_from_outside_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of what will happen are replaced."""
    confirm("\x1b[2Jgpu-1", "gpu-1", yes=True)
    assert "\x1b" not in capsys.readouterr().err
