from pathlib import Path

import pytest

from bench.load import Drain, Figures, Request, write_paths


def figures(drain: Drain | None = None) -> Figures:
    return Figures(requests=10_000, seconds=4, p50_ms=8, p99_ms=20, refused=0, broken=0, drain=drain, cpu_seconds=5)


def test_a_relay_that_lags_shows_in_what_is_published() -> None:
    """The rate of published jobs includes the time until the outbox was empty; the rate of accepted jobs does not."""
    load = figures(Drain(depth=2_000, seconds=1))
    assert (load.rate, load.published) == (2_500, 2_000)


def test_the_tail_is_a_multiple_of_the_median() -> None:
    """The tail is p99 over p50."""
    assert figures().tail == 2.5


def test_cpu_time_is_per_request() -> None:
    """The CPU time of a request is in milliseconds."""
    assert figures().cpu_ms == 0.5


def test_a_body_makes_a_post() -> None:
    """load.lua gets its parameters for a submission and for a look-up."""
    post = Request(url="http://gateway/v1/jobs", key="dk", body=b"{}", distinct_keys=True).environment()
    assert {**post, "LOAD_SEED": ""} == {
        "LOAD_METHOD": "POST",
        "LOAD_KEY": "dk",
        "LOAD_BODY": "{}",
        "LOAD_DISTINCT_KEYS": "yes",
        "LOAD_SEED": "",
    }
    get = Request(url="http://status", paths=Path("ids")).environment()
    assert (get["LOAD_METHOD"], get["LOAD_PATHS"], get["LOAD_DISTINCT_KEYS"]) == ("GET", "ids", "no")


def test_two_loads_have_different_seeds() -> None:
    """Two loads have different seeds, and so different Idempotency-Keys."""
    request = Request(url="http://gateway/v1/jobs")
    assert request.environment()["LOAD_SEED"] != request.environment()["LOAD_SEED"]


def test_paths_are_lines(tmp_path: Path) -> None:
    """The file has one path per line, and ends with a line break."""
    assert write_paths(tmp_path / "paths", ["/a", "/b"]).read_text() == "/a\n/b\n"


def test_only_submissions_are_published() -> None:
    """The rate of published jobs of a look-up raises an error."""
    with pytest.raises(AssertionError):
        _ = figures().published
