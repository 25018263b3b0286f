"""Decoding a submission: a JobRequest, or a problem that names the field."""

from chassis.decoding import BodyDecoder
from darkroom_contracts.api import JobRequest

decode_request = BodyDecoder(
    JobRequest,
    {
        "matching regex '^https": "must be an http or https URL without user, password or spaces",
        "matching regex '^[A-Za-z0-9_.-]": "has a name that is not 1 to 64 letters, digits, dots, dashes or"
        " underscores",
    },
)
"""Decodes the body of a submission, as BodyDecoder describes."""
