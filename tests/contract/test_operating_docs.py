"""docs/operating.md names what the code has."""

import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from darkroom_contracts.api.workers import WorkerState
from gpu_consumer import metrics as worker_metrics
from operations import metrics as operations_metrics
from operations.alerts.records import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()


def section(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.+?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, heading
    return found[1]


def names_of(module: object) -> set[str]:
    """Return the names under which the metrics of a module are exposed, without those of a histogram's parts."""
    made = [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]
    described = [metric for value in made for metric in value.describe()]
    return {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in described}


@pytest.mark.parametrize(
    ("heading", "module"),
    [("Metrics of a worker", worker_metrics), ("Metrics of operations", operations_metrics)],
)
def test_every_metric_is_in_its_table_and_none_else(heading: str, module: object) -> None:
    """Each table has the metrics of its service."""
    rows = "\n".join(re.findall(r"^\| (.+?) \| (?:gauge|counter|histogram|enum) \|", section(heading), re.MULTILINE))
    assert set(re.findall(r"`(darkroom_[a-z_]+)", rows)) == names_of(module)


def test_every_alert_is_described() -> None:
    """The table of alerts has all kinds, and no others."""
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", section("Alerts"), re.MULTILINE)) == set(KINDS)


def test_every_state_of_a_worker_is_named() -> None:
    """The states that the list of workers can show."""
    text = section("Queues and workers").partition("and its state:")[2].partition(".")[0]
    assert set(re.findall(r"`([a-z]+)`", text)) == set(WorkerState)
