"""The documents that have generated sections, and what fills each section."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.docs import api, settings

ROOT = Path(__file__).parents[2]
DOCUMENTS: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    ROOT / "docs" / "api.md": {
        "routes": api.routes,
        "queries": api.queries,
        "headers": api.headers,
        "request": api.request,
        "job": api.job,
        "model": api.model,
        "webhook-endpoint-request": api.endpoint_request,
        "webhook-endpoint-change": api.endpoint_change,
        "webhook-endpoint": api.endpoint,
        "webhook-endpoint-stats": api.endpoint_stats,
        "webhook-delivery": api.delivery,
        "webhook-attempt": api.delivery_attempt,
        "recovery": api.recovery,
        "recovered": api.recovered,
        "api-key-request": api.key_request,
        "api-key-rotation": api.key_rotation,
        "api-key-revocation": api.key_revocation,
        "api-key": api.key,
        "audit-entry": api.audit_entry,
        "errors": api.errors,
        "job-errors": api.job_errors,
    },
    ROOT / "docs" / "operating.md": {"settings": settings.reference},
}
_SECTION = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-z-]+); see tools/docs -->\n).*?(?P<end><!-- end of (?P=name) -->\n)",
    re.DOTALL,
)


class SectionError(ValueError):
    """A document's markers are not those of its sections."""


def generated(path: Path) -> str:
    """Return the document with its generated sections written anew.

    A section is what stands between `<!-- generated: NAME; see tools/docs -->` and `<!-- end of NAME -->`. Raises
    SectionError unless the document has exactly the sections that it should have, each once.
    """
    return fill(path.read_text(), DOCUMENTS[path])


def fill(text: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """Return the text with each section filled. Raises SectionError as `generated` does."""
    found = [section["name"] for section in _SECTION.finditer(text)]
    if sorted(found) != sorted(sections):
        raise SectionError(f"The document has the sections {found}, and should have {sorted(sections)}.")
    return _SECTION.sub(lambda section: section["begin"] + sections[section["name"]]() + section["end"], text)
