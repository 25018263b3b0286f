"""Failures at known-good sizes make the process suspect."""

import pytest

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer.protocol import FailureKind, RenderFailed, Size
from gpu_consumer.renderer.suspicion import Suspicion
from tests.support.models import job_input

SMALL, LARGE = job_input(), job_input(width=512)
BROKEN = RenderFailed(JobErrorCode.NON_FINITE_OUTPUT, "NaN", FailureKind.PERMANENT)


@pytest.fixture
def suspicion() -> Suspicion:
    """Return the suspicion of a process that warmed up at 64x64."""
    suspicion = Suspicion()
    suspicion.begin([Size(64, 64)])
    return suspicion


@pytest.mark.parametrize(
    "code", [JobErrorCode.PIPELINE_ERROR, JobErrorCode.NON_FINITE_OUTPUT, JobErrorCode.OUT_OF_MEMORY]
)
def test_two_failures_in_a_row_at_a_good_size_confirm_the_suspicion(suspicion: Suspicion, code: JobErrorCode) -> None:
    """Two failures in a row that may be the process's fault confirm the suspicion."""
    assert suspicion.note_failure(SMALL, BROKEN)
    assert not suspicion.is_confirmed
    assert suspicion.note_failure(SMALL, RenderFailed(code, "", FailureKind.PERMANENT))
    assert suspicion.is_confirmed


def test_a_success_in_between_acquits(suspicion: Suspicion) -> None:
    """A success in between ends the row."""
    suspicion.note_failure(SMALL, BROKEN)
    suspicion.note_success(SMALL)
    suspicion.note_failure(SMALL, BROKEN)
    assert not suspicion.is_confirmed


def test_a_size_that_never_went_well_tells_nothing(suspicion: Suspicion) -> None:
    """A size counts as known-good once it was rendered."""
    assert not suspicion.note_failure(LARGE, BROKEN)
    assert not suspicion.note_failure(LARGE, BROKEN)
    assert not suspicion.is_confirmed
    suspicion.note_success(LARGE)
    assert suspicion.note_failure(LARGE, BROKEN)


@pytest.mark.parametrize("code", [JobErrorCode.INPUT_NOT_RENDERABLE, JobErrorCode.UNSAFE_OUTPUT])
def test_what_only_the_job_can_cause_does_not_count(suspicion: Suspicion, code: JobErrorCode) -> None:
    """Failures that are certainly the job's do not count."""
    assert not suspicion.note_failure(SMALL, RenderFailed(code, "", FailureKind.PERMANENT))
    assert not suspicion.note_failure(SMALL, RenderFailed(code, "", FailureKind.PERMANENT))
    assert not suspicion.is_confirmed


def test_a_new_process_begins_unsuspected(suspicion: Suspicion) -> None:
    """A new process starts without known-good sizes and failures of the one before."""
    suspicion.note_success(LARGE)
    suspicion.note_failure(SMALL, BROKEN)
    suspicion.begin([Size(64, 64)])
    assert not suspicion.note_failure(LARGE, BROKEN)
    suspicion.note_failure(SMALL, BROKEN)
    assert not suspicion.is_confirmed
