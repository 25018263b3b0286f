from tests.support.run import SLOWEST_FIRST, TESTS, rank


def test_every_folder_has_its_place() -> None:
    """All folders of tests are in the order in which they are handed out, but what needs a GPU."""
    files = [path for path in TESTS.rglob("test_*.py") if not path.is_relative_to(TESTS / "gpu")]
    assert files
    assert all(rank(file) < len(SLOWEST_FIRST) for file in files)


def test_a_folder_goes_before_the_one_around_it() -> None:
    """The consumer's tests have a place of their own among the integration tests."""
    consumer, gateway = (TESTS / "integration" / name / "test_it.py" for name in ("gpu_consumer", "gateway"))
    assert rank(consumer) < rank(gateway)
