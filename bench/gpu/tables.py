"""The lines of the report: a table and findings for each model."""

from bench.gpu.results import GIBIBYTE, Measured, Result, Results, defects, ratio, same_pixels
from bench.gpu.subjects import GUIDANCE, PLAIN, SCHEDULER, VARIANTS, Subject

WORTH = 1.1
"""Speed-up that CUDA graphs need to become the default (docs/decisions/0033)."""
HEADER = (
    "| variant | load s | warm-up s | steps/s | of plain | decode ms | held GiB | peak GiB | GPU in use GiB"
    " | idle share, fed directly | pixels, sha256 |"
)
COLUMNS = HEADER.count("|") - 1


def model_lines(subject: Subject, results: Results) -> list[str]:
    """Return heading, table and findings of a model."""
    return [
        f"## {subject.title}, {subject.side}x{subject.side}",
        "",
        f"{subject.steps} steps of {SCHEDULER}, guidance {GUIDANCE:g}, one picture, random weights.",
        "",
        HEADER,
        "|---|" + "---:|" * (COLUMNS - 1),
        *(_row(variant.name, results) for variant in VARIANTS),
        "",
        *_findings(results),
    ]


def _findings(results: Results) -> list[str]:
    lines = [*_graph_findings(results), *(f"- Failed: {line}." for line in defects(results))]
    return [*lines, ""] if lines else []


def _row(name: str, results: Results) -> str:
    cells = _cells(results[name], ratio(results, name, PLAIN))
    return f"| {name} | {' | '.join(cells)} |"


def _cells(result: Result, of_plain: float | None) -> list[str]:
    if not isinstance(result, Measured):
        return [f"not measured: {result.reason}", *[""] * (COLUMNS - 2)]
    return [
        f"{result.load_seconds:.1f}",
        f"{result.warmup_seconds:.1f}",
        f"{result.steps_per_second:.2f}",
        "" if of_plain is None else f"{of_plain:.2f}",
        f"{result.decode_ms:.0f}",
        f"{result.held_bytes / GIBIBYTE:.2f}",
        f"{result.peak_bytes / GIBIBYTE:.2f}",
        "" if result.device_bytes is None else f"{result.device_bytes / GIBIBYTE:.2f}",
        f"{result.idle_share:.1%}",
        result.sha256[:12],
    ]


def _graph_findings(results: Results) -> list[str]:
    """Return the findings that decide the default of DARKROOM_CUDA_GRAPHS."""
    lines = []
    for variant in VARIANTS:
        if variant.compared_with is None:
            continue
        faster = ratio(results, variant.name, variant.compared_with)
        same = same_pixels(results, variant.name, variant.compared_with)
        if faster is None or same is None:
            continue
        enough = "enough" if same and faster >= WORTH else "not enough"
        lines.append(
            f"- {variant.name}: {'the same' if same else 'other'} pixels as {variant.compared_with} and"
            f" {faster:.2f} times its steps/s, {enough} for a default (the same and {WORTH:g})."
        )
    return lines
