"""The files that GitHub and pre-commit read."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.containers import IMAGES

REPOSITORY = Path(__file__).parents[2]
GITHUB = REPOSITORY / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
MAJOR_VERSION = re.compile(r"[\w.-]+/[\w./-]+@(v\d+|[0-9a-f]{40})")
WRITES = {"release.yml": {"release": {"contents": "write"}}}
"""Workflow -> job -> what it may do beyond reading the repository."""


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def uses(node: Any) -> Iterator[str]:
    """Yield every `uses` of a workflow: actions, and workflows called as jobs."""
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "uses")
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from uses(child)


def schema(file: Path) -> str:
    """Return the name of the schema that describes the file."""
    if file in WORKFLOWS:
        return "vendor.github-workflows"
    return "vendor.github-issue-config" if file.name == "config.yml" else "vendor.github-issue-forms"


@pytest.mark.parametrize("file", [*WORKFLOWS, *FORMS], ids=lambda file: file.name)
def test_files_follow_their_schema(file: Path) -> None:
    """Every workflow and issue form is valid by GitHub's schema, of which check-jsonschema brings a copy."""
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema(file), str(file))
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_may_only_read(file: Path) -> None:
    """A workflow reads the repository; the jobs that may do more are listed here."""
    workflow = load(file)
    assert workflow["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert more == WRITES.get(file.name, {})


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned(file: Path) -> None:
    """Every action is used by a major version or a commit; workflows of this repository need neither."""
    used = list(uses(load(file)))
    assert used
    for action in used:
        assert MAJOR_VERSION.fullmatch(action) or (REPOSITORY / action).is_file(), action


def test_the_workflow_names_the_images_of_the_tests() -> None:
    """CI runs the tests on the images that the tests take by themselves; S3's may be replaced by a variable."""
    environment = load(GITHUB / "workflows" / "ci.yml")["jobs"]["containers"]["env"]
    s3 = f"${{{{ vars.DARKROOM_TEST_S3_IMAGE || '{IMAGES['DARKROOM_TEST_S3_IMAGE']}' }}}}"
    named = {name: environment[name] for name in IMAGES}
    assert named == IMAGES | {"DARKROOM_TEST_S3_IMAGE": s3}


def test_a_release_must_have_the_version_of_its_tag(tmp_path: Path) -> None:
    """Wheels of another version than the tag's are not built, and the files to change are named."""
    command = (REPOSITORY / ".ci" / "wheels", tmp_path, "0.0.0.dev7")
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "client/pyproject.toml" in refused.stderr
    assert "services/gateway/pyproject.toml" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_hooks_download_nothing() -> None:
    """All pre-commit hooks are local and run what is installed already."""
    file = REPOSITORY / ".pre-commit-config.yaml"
    checked = subprocess.run((sys.executable, "-m", "pre_commit", "validate-config", file), capture_output=True)
    assert checked.returncode == 0, checked.stdout
    for repository in load(file)["repos"]:
        assert repository["repo"] == "local"
        assert {hook["language"] for hook in repository["hooks"]} <= {"system", "pygrep"}
