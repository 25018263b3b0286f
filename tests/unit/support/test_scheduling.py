import pytest

from tests.support.scheduling import LONERS, RUNBOOK, SLOWEST_FIRST, STACK, TESTS, rank, scope


def test_every_folder_has_its_place() -> None:
    """All folders of tests are in the order in which they are handed out, but what needs a GPU."""
    files = [path for path in TESTS.rglob("test_*.py") if not path.is_relative_to(TESTS / "gpu")]
    assert files
    assert all(rank(file) < len(SLOWEST_FIRST) for file in files)


def test_a_folder_goes_before_the_one_around_it() -> None:
    """The consumer's tests have a place of their own among the integration tests."""
    consumer, gateway = (TESTS / "integration" / name / "test_it.py" for name in ("gpu_consumer", "gateway"))
    assert rank(consumer) < rank(gateway)


def test_the_shared_stack_has_one_worker() -> None:
    """All tests that may use it are one scope, whatever their file; others are scopes by file."""
    assert scope("tests/chaos/test_a.py::test_b[c]") == scope("tests/e2e/test_d.py::test_e") == STACK
    assert scope("tests/unit/gateway/test_a.py::test_b[c::d]") == "tests/unit/gateway/test_a.py"


def test_the_runbook_has_a_worker() -> None:
    """Its tests share a stack of their own."""
    assert (TESTS.parent / RUNBOOK).is_dir()
    assert scope(f"{RUNBOOK}test_a.py::test_b") == scope(f"{RUNBOOK}test_c.py::test_d") == RUNBOOK


def test_tests_of_the_protocol_go_one_by_one() -> None:
    """Each may run in another worker."""
    assert scope("tests/protocol/test_a.py::test_b[c]") == "tests/protocol/test_a.py::test_b[c]"


@pytest.mark.parametrize("file", LONERS)
def test_a_file_on_its_own_is_there(file: str) -> None:
    """An end-to-end test with a stack of its own is a scope of its own."""
    assert (TESTS.parent / file).exists()
    assert scope(f"{file}::test_a") == file
