"""The defects of a run, and its report."""

from typing import Any

from bench.gpu.results import Measured, NotMeasured, Result, defects, ratio, same_pixels
from bench.gpu.subjects import CHANNELS_LAST, FULL, PLAIN, VARIANTS, in_order
from bench.gpu.tables import HEADER, model_lines

BOTH = "channels_last, cuda_graphs"


def measured(**changes: Any) -> Measured:
    figures: dict[str, Any] = {
        "device": "NVIDIA H100",
        "versions": {"torch": "2.13.0"},
        "load_seconds": 9.94,
        "warmup_seconds": 2.0,
        "steps_per_second": 40.0,
        "decode_ms": 12.4,
        "held_bytes": 2 << 30,
        "peak_bytes": 3 << 30,
        "device_bytes": 5 << 30,
        "idle_share": 0.012,
        "renders": 4,
        "sha256": "0123456789abcdef",
        "repeatable": True,
        "failed_captures": 0,
    }
    return Measured(**(figures | changes))


def results(**changes: Result) -> dict[str, Result]:
    """Return results of every variant, with changes by name."""
    return {variant.name: measured() for variant in VARIANTS} | changes


def test_a_good_run_has_no_defects() -> None:
    """A variant that the device cannot run is not a defect."""
    assert defects(results(compiled=NotMeasured("it needs CUDA", failed=False))) == []


def test_everything_that_is_wrong_is_a_defect() -> None:
    """The time limit, different pixels for the same job and failed graphs are defects."""
    assert defects(results(compiled=NotMeasured("the time limit was reached", failed=True))) == [
        "compiled: not measured: the time limit was reached"
    ]
    assert defects(results(plain=measured(repeatable=False))) == ["plain: the same job had different pixels"]
    assert defects(results(cuda_graphs=measured(failed_captures=2))) == [
        "cuda_graphs: 2 CUDA graphs could not be captured"
    ]


def test_graphs_must_give_the_pixels_of_the_same_layout_without_them() -> None:
    """The graphs of channels_last are compared with channels_last, not with plain."""
    other = measured(sha256="fedcba")
    assert defects(results(cuda_graphs=other)) == ["cuda_graphs: other pixels than plain"]
    assert defects(results() | {BOTH: other, CHANNELS_LAST: other}) == []
    assert defects(results() | {CHANNELS_LAST: other}) == [f"{BOTH}: other pixels than channels_last"]


def test_nothing_is_compared_with_what_was_not_measured() -> None:
    """Without both figures there is neither a ratio nor a finding."""
    lacking = results(plain=NotMeasured("the time limit was reached", failed=True))
    assert ratio(lacking, "cuda_graphs", PLAIN) is None
    assert same_pixels(lacking, "cuda_graphs", PLAIN) is None


def test_every_variant_has_a_row_as_wide_as_the_header() -> None:
    """A variant without figures has its reason in the table."""
    reason = "it needs CUDA"
    lines = model_lines(FULL[0], results(compiled=NotMeasured(reason, failed=False)))
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(VARIANTS)
    assert {line.count("|") for line in table} == {HEADER.count("|")}
    assert table[2] == "| plain | 9.9 | 2.0 | 40.00 | 1.00 | 12 | 2.00 | 3.00 | 5.00 | 1.2% | 0123456789ab |"
    assert f"| not measured: {reason} |" in table[-1]


def test_the_verdict_on_graphs_needs_the_same_pixels_and_a_tenth() -> None:
    """The findings of each memory layout have the speed-up and whether the pixels are equal."""
    faster, other = measured(steps_per_second=44.0), measured(steps_per_second=80.0, sha256="fedcba")
    text = "\n".join(model_lines(FULL[0], results(cuda_graphs=faster) | {BOTH: other}))
    assert "- cuda_graphs: the same pixels as plain and 1.10 times its steps/s, enough for a default" in text
    assert f"- {BOTH}: other pixels as channels_last and 2.00 times its steps/s, not enough" in text
    assert f"- Failed: {BOTH}: other pixels than channels_last." in text
    slower = "\n".join(model_lines(FULL[0], results(cuda_graphs=measured(steps_per_second=42.0))))
    assert "1.05 times its steps/s, not enough" in slower


def test_what_takes_longest_comes_last() -> None:
    """The compiled variants of both models come after all others."""
    order = [(subject.name, variant.name) for subject, variant in in_order(FULL)]
    assert order[-2:] == [("sd15", "compiled"), ("sdxl", "compiled")]
    assert order[0] == ("sd15", "plain")
    assert len(order) == 2 * len(VARIANTS)
