from datetime import timedelta

import pytest

from darkroom.desk_commands.replay_texts import (
    counts,
    edit_text,
    next_step,
    progress_text,
    scope_text,
    speed_text,
    stage_text,
    status_text,
)
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import InputEdit, ReplayEdit, ReplayStatus
from darkroom_contracts.states import LetterKind
from tests.unit.client.answers import AT, JOB_ID
from tests.unit.client.letter_answers import GROUP_ID, LETTER_ID
from tests.unit.client.replay_answers import RAMP, REPLAY_ID, finished, replay


def test_every_filter_of_a_scope_is_named() -> None:
    """As the option that gives it; a field that is added to the API is missed here."""
    values = {
        "ids": [LETTER_ID],
        "kind": LetterKind.JOB,
        "model": "tiny",
        "tenant": "shop",
        "reason": "out_of_memory",
        "fingerprint": "0f3a",
        "group": GROUP_ID,
        "worker": "gpu-1",
        "job": JOB_ID,
        "created_after": AT,
        "created_before": AT + timedelta(hours=1),
        "text": "CUDA #",
    }
    assert set(values) == set(LetterScope.__struct_fields__)
    assert scope_text(LetterScope(**values)) == (  # type: ignore[arg-type]
        f"1 named, kind job, model tiny, tenant shop, code out_of_memory, fingerprint 0f3a, group {GROUP_ID}, worker"
        f" gpu-1, job {JOB_ID}, text CUDA #, since 2026-11-21 12:00:00Z, until 2026-11-21 13:00:00Z"
    )
    assert scope_text(LetterScope(ids=[LETTER_ID, JOB_ID])) == "2 named"


def test_an_edit_is_named_by_its_options() -> None:
    """A value of zero is one."""
    edit = ReplayEdit(model="tiny-2", input=InputEdit(num_inference_steps=12, guidance_scale=0, seed=0, num_images=2))
    assert edit_text(edit) == "model tiny-2, steps 12, guidance scale 0, seed 0, images 2"
    assert edit_text(ReplayEdit(model="tiny-2")) == "model tiny-2"


def test_a_speed_is_a_pace_or_a_ramp() -> None:
    """The last stage is shown to be repeated."""
    assert speed_text(None, None) == "as fast as possible"
    assert speed_text(0.5, None) == "0.5 a second"
    assert speed_text(None, RAMP) == "in stages of 1, 2, 5, 5, ..."


@pytest.mark.parametrize(("stage", "size"), [(1, 1), (3, 5), (9, 5)])
def test_a_ramp_has_a_current_stage(stage: int, size: int) -> None:
    """Beyond the last stage its size is repeated."""
    assert stage_text(replay("running", ramp=RAMP, stage=stage)) == f"stage {stage} ({size} at a time)"


def test_other_replays_have_no_stage() -> None:
    """Neither those without a ramp, nor those that were not started."""
    assert stage_text(replay("running")) is None
    assert stage_text(replay("planned", ramp=RAMP, stage=1)) is None


def test_the_refused_are_divided_into_left_out_and_refused() -> None:
    """Planning left some out; others could be replayed then and not any more later."""
    found = counts(finished(refused=2, failed=3, left_out={"discarded": 4}))
    assert found == (42, 4, 0, 37, 3, 2)
    assert (found.ended, found.is_well) == (42, False)
    assert counts(finished(left_out={"discarded": 4})).is_well


@pytest.mark.parametrize(
    ("status", "changes", "progress"),
    [
        ("planning", {"left_out": {"discarded": 1}}, "43 dead letters so far"),
        ("planned", {"left_out": {"discarded": 1}}, "42 to be replayed, 1 left out"),
        ("canceled", {"started_at": None}, "42 to be replayed, 0 left out"),
        ("running", {}, "0 of 42 ended, 0 under way"),
        ("running", {"pending": 1200, "replayed": 4, "failed": 1}, "1 of 1,205 ended, 4 under way, 1 failed"),
        ("paused", {"pending": 30, "replayed": 12}, "0 of 42 ended, 12 under way"),
        ("finished", {"pending": 0, "succeeded": 40, "refused": 2}, "42 of 42 ended, 2 refused"),
    ],
)
def test_every_status_has_its_progress(status: str, changes: dict[str, object], progress: str) -> None:
    """What is zero is left out, but for what a running replay has under way."""
    assert progress_text(replay(status, **changes)) == progress  # type: ignore[arg-type]


def test_a_pause_has_its_reason() -> None:
    """The other statuses stand for themselves."""
    assert status_text(replay("paused", paused_reason="too hot")) == "paused: too hot"
    assert status_text(replay("running")) == "running"


@pytest.mark.parametrize("status", ReplayStatus)
def test_the_next_step_is_a_command_that_is_allowed(status: ReplayStatus) -> None:
    """An ended replay has none."""
    commands = {
        "planning": ["start"],
        "planned": ["start", "cancel"],
        "running": ["watch", "pause"],
        "paused": ["resume", "cancel"],
        "finished": [],
        "canceled": [],
    }
    step = next_step(replay(status)) or ""
    assert [part.split()[2] for part in step.split("`")[1::2]] == commands[status]
    assert step.count(str(REPLAY_ID)) == len(commands[status])
