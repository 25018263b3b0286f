import json

import pytest

from darkroom.desk_commands.replay_options import EDITS
from darkroom_contracts.api.replays import DEFAULT_STAGES, InputEdit, Ramp
from tests.unit.client.answers import Script, reply
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.letter_answers import GROUP_ID
from tests.unit.client.replay_answers import replay


def refusal(desk: Desk, *options: object) -> tuple[int, str]:
    """Return the exit code and the error of a replay with wrong options. It sends nothing."""
    script = Script()
    result = desk.run(script, "dead-letters", "replay", "--group", GROUP_ID, "--yes", *options)
    assert script.requests == []
    return result.exit_code, result.stderr.splitlines()[-1]


def test_every_field_of_an_edit_has_an_option() -> None:
    """A field that is added to the API is missed here."""
    assert set(EDITS.values()) == set(InputEdit.__struct_fields__)


@pytest.mark.parametrize(
    ("stages", "complaint"),
    [
        ("1,,2", "is not a list of numbers such as 1,2,5,10,20,50,100."),
        ("", "is not a list of numbers"),
        ("1;2", "is not a list of numbers"),
        ("0,1", "is not a list of numbers"),
        ("\u0661", "is not a list of numbers"),
        ("1,10001", "at most 50 stages, each of at most 10,000."),
        (",".join("1" * 51), "at most 50 stages"),
    ],
)
def test_a_wrong_ramp_is_refused(desk: Desk, stages: str, complaint: str) -> None:
    """The error says how it is written, and what is too much."""
    code, error = refusal(desk, "--ramp", stages)
    assert (code, complaint in error) == (2, True)


@pytest.mark.parametrize("pace", ["0", "-1", "101", "fast"])
def test_a_wrong_pace_is_refused(desk: Desk, pace: str) -> None:
    """It is above 0, and at most what the API allows."""
    assert refusal(desk, "--pace", pace)[0] == 2


def test_what_contradicts_itself_is_refused(desk: Desk) -> None:
    """A pace and a ramp, and the time limit of stages that there are not."""
    assert "exclude each other" in refusal(desk, "--pace", 1, "--ramp", "1")[1]
    assert "give --ramp too" in refusal(desk, "--stage-seconds", 5)[1]


def test_the_time_limit_of_a_stage_has_the_api_s_default(desk: Desk) -> None:
    """The example of the help is the API's default too."""
    script = Script(reply(replay("planning"), 202), reply(replay()))
    stages = ",".join(map(str, DEFAULT_STAGES))
    desk.run(script, "dead-letters", "replay", "--group", GROUP_ID, "--ramp", stages, "--dry-run")
    ramp = json.loads(script.requests[0].content)["ramp"]
    assert ramp == {"stages": list(DEFAULT_STAGES), "stage_seconds": Ramp().stage_seconds}
