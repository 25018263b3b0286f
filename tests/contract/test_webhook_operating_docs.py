"""docs/operating-webhooks.md names what the code has."""

import re
import shlex
from pathlib import Path

import click
import pytest
from prometheus_client.metrics import MetricWrapperBase

from chassis.settings import WebhookTargetSettings
from darkroom.cli import main
from darkroom_contracts.webhooks import OperatorEvent
from operations import metrics as operations_metrics
from operations.settings import RetentionSettings
from webhooks import metrics
from webhooks.settings import DispatchSettings, EgressSettings, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "operating-webhooks.md").read_text()
TABLE = PAGE.partition("## What to watch")[2].partition("| alert |")[0]
COMMANDS = re.findall(r"^darkroom (.*?)(?:\s+#.*)?$", PAGE.replace("\\\n", " "), re.MULTILINE)


def names_of(module: object) -> set[str]:
    """Return the names under which the metrics of a module are exposed, without those of a histogram's parts."""
    made = [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]
    described = [metric for value in made for metric in value.describe()]
    return {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in described}


def test_every_metric_is_in_the_table_and_none_else() -> None:
    """Operations counts the letters; all others are those of webhooks."""
    named = set(re.findall(r"darkroom_[a-z_]+", TABLE))
    assert named - names_of(operations_metrics) == names_of(metrics)


def test_the_alerts_read_metrics_of_the_table() -> None:
    """A histogram has buckets."""
    alerts = PAGE.partition("| alert |")[2].partition("\n\n")[0]
    read = {name.removesuffix("_bucket") for name in re.findall(r"darkroom_[a-z_]+", alerts)}
    assert read
    assert read <= names_of(metrics) | names_of(operations_metrics)


def test_every_setting_exists() -> None:
    """Each variable belongs to a setting of webhooks or operations."""
    groups = (Settings, DispatchSettings, EgressSettings, WebhookTargetSettings, RetentionSettings)
    known = {f"DARKROOM_{field.upper()}" for group in groups for field in group.__struct_fields__}
    assert set(re.findall(r"DARKROOM_[A-Z_]+", PAGE)) <= known | {"DARKROOM_OPERATOR_KEY"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists(command: str) -> None:
    """With the options that the page gives it."""
    arguments = shlex.split(command.replace("<id>", "01993b5c-0000-7000-8000-000000000001"))
    found: click.Command = main
    context = click.Context(main, info_name="darkroom")
    while isinstance(found, click.Group):
        chosen = found.get_command(context, arguments.pop(0))
        assert chosen is not None, command
        found, context = chosen, click.Context(chosen, parent=context)
    found.parse_args(context, arguments)


def test_the_events_of_operators_are_named() -> None:
    """All that exist, and the page subscribes to each."""
    assert set(re.findall(r"--event (\S+)", PAGE)) == set(OperatorEvent)
