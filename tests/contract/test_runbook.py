"""docs/dead-letters.md names what the code has, and each of its situations has its test."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
from prometheus_client.metrics import MetricWrapperBase

from darkroom.cli import main
from darkroom_contracts.errors import JobErrorCode
from darkroom_contracts.routes import ROUTES
from darkroom_contracts.states import LetterKind, LetterStatus
from darkroom_contracts.webhooks import OperatorEvent
from gpu_consumer import metrics as worker_metrics
from operations import metrics as operations_metrics
from operations.alerts.links import link_to
from operations.alerts.records import KINDS
from operations.letters.recording import Ingested
from operations.replays.outcome import Verdict
from tests.e2e.runbook.page import PAGE, headings, section, shown
from webhooks import metrics as webhook_metrics

TEXT = PAGE.read_text()
RUNBOOK = Path(__file__).parents[1] / "e2e" / "runbook"
COMMANDS = [
    *re.findall(r"^darkroom (.*?)(?:\s+#.*)?$", TEXT, re.MULTILINE),
    *(said.command.removeprefix("darkroom ") for said in shown(TEXT)),
    *re.findall(r"`darkroom ([^`]*)`", "".join(line for line in TEXT.splitlines(True) if line.startswith("|"))),
]
ID = "01993b5c-0000-7000-8000-000000000001"
PARTS = ("Sign", "What the desk shows", "What to do", "What not to do", "It is over")
NO_LETTERS = {JobErrorCode.EXPIRED, JobErrorCode.DEADLINE_EXCEEDED}
"""Codes of jobs that end otherwise than failed."""


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table whose head begins with a cell."""
    rows = TEXT.partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def names(cells: list[str]) -> set[str]:
    """Return what cells name as code."""
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_exists(command: str) -> None:
    """With the options and arguments that the page gives it."""
    context = main.make_context("darkroom", shlex.split(re.sub(r"<\w+>", ID, command)))
    while isinstance(context.command, click.Group) and (rest := [*context._protected_args, *context.args]):
        name, chosen, rest = context.command.resolve_command(context, rest)
        assert chosen is not None
        if not rest and not isinstance(chosen, click.Group):
            return  # named alone
        context = chosen.make_context(name, rest, parent=context)


def test_each_situation_has_its_test() -> None:
    """Named as its heading; and no test has none."""
    parsed = [ast.parse(file.read_text()) for file in RUNBOOK.glob("test_*.py")]
    tests = {each.name for tree in parsed for each in tree.body if isinstance(each, ast.AsyncFunctionDef)}
    assert {name for name in tests if name.startswith("test_")} == set(headings())
    assert len(headings()) == 12


@pytest.mark.parametrize("heading", headings().values())
def test_a_situation_has_all_parts(heading: str) -> None:
    """In their order, with what commands print in it."""
    text = section(heading)
    places = [text.find(f"\n**{part}") for part in PARTS]
    assert -1 not in places
    assert places == sorted(places)
    assert shown(text)


def test_every_kind_and_code_is_explained() -> None:
    """Those that a dead letter can have, and none else."""
    assert names([row[0] for row in table("kind")]) == set(LetterKind)
    assert names([row[0] for row in table("code")]) == (set(JobErrorCode) - NO_LETTERS) | {"webhook_exhausted"}
    assert all(status in TEXT for status in LetterStatus)


def test_every_verdict_is_explained() -> None:
    """And none else."""
    assert names([row[0] for row in table("verdict")]) == set(Verdict)


def test_every_alert_leads_where_the_page_says() -> None:
    """The page names all of operations' alerts with their links."""
    placeholders = {"dead-letter-groups": "<id>", "model": "<model>", "worker": "<worker>"}
    rows = {name: link.strip("`") for name, link in ((row[0].strip("`"), row[2]) for row in table("alert"))}
    assert set(rows) == set(KINDS)
    for kind, link in rows.items():
        wanted = next((value for value in placeholders.values() if value in link), "x")
        assert link == link_to("", OperatorEvent(kind), "X").replace("X", wanted)


def test_every_event_exists() -> None:
    """Those of operators, and those of endpoints."""
    named = set(re.findall(r"`((?:dead_letters|queue|worker|outbox|webhook_endpoint)\.\w+)`", TEXT))
    assert named
    assert named <= set(OperatorEvent)


def test_every_metric_exists() -> None:
    """With the labels that the page gives it."""
    exposed = {}
    for module in (operations_metrics, worker_metrics, webhook_metrics):
        for metric in (each for each in vars(module).values() if isinstance(each, MetricWrapperBase)):
            for family in metric.describe():
                name = f"{family.name}_total" if family.type == "counter" else family.name
                exposed[name] = set(metric._labelnames)
    named = re.findall(r"(darkroom_[a-z_]+)(?:\{([^}]*)\})?", TEXT)
    assert named
    for name, labels in named:
        assert name in exposed, name
        assert set(re.findall(r"(\w+)(?==|,|$)", labels)) <= exposed[name], name
    results = re.findall(r'ingested_total\{result="(\w+)"\}', TEXT)
    assert set(results) <= set(Ingested)


def test_every_route_exists() -> None:
    """By its path, as the curl commands and links have it."""
    known = [re.compile(re.sub(r"\{[\w:]+\}", "[^/]+", route.path)) for route in ROUTES]
    paths = re.findall(r"(/v1/[a-z/<>-]+)", TEXT)
    assert paths
    assert [path for path in paths if not any(route.fullmatch(path) for route in known)] == []


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    """As GitHub makes anchors of headings."""
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
