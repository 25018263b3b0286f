import msgspec

from darkroom_contracts.errors import ApiError, JobErrorCode


def test_the_codes_of_problems_are_pinned() -> None:
    """Programs branch on these codes: one may be added, none may change."""
    assert {str(code) for code in ApiError} >= {
        "invalid_json",
        "invalid_request",
        "idempotency_key_reused",
        "unsupported_media_type",
        "body_too_large",
        "unauthenticated",
        "forbidden",
        "not_found",
        "job_not_finished",
        "method_not_allowed",
        "queue_full",
        "quota_exceeded",
        "rate_limited",
        "unavailable",
        "internal",
    }


def test_the_codes_of_failed_jobs_are_pinned() -> None:
    """Clients and operators branch on these codes: one may be added, none may change."""
    assert {str(code) for code in JobErrorCode} >= {
        "storage_unavailable",
        "out_of_memory",
        "render_process_lost",
        "worker_lost",
        "input_not_renderable",
        "pipeline_error",
        "non_finite_output",
        "render_timeout",
        "delivery_limit",
        "expired",
        "undecodable",
    }


def test_every_code_is_a_plain_word() -> None:
    """Codes appear unchanged in URIs, in labels of metrics and in columns."""
    for code in (*ApiError, *JobErrorCode):
        assert code.replace("_", "").isalpha()
        assert code.islower()
        assert code == code.name.lower()


def test_every_api_error_has_a_status_and_a_meaning() -> None:
    """The documents and the problems take both from the code."""
    for code in ApiError:
        assert 400 <= code.status < 600
        assert code.meaning.endswith(".")
        assert msgspec.convert(str(code), ApiError) is code


def test_every_job_error_says_when_it_is_retried() -> None:
    """The documents take both from the code."""
    for code in JobErrorCode:
        assert code.retried
        assert code.meaning.endswith(".")
        assert msgspec.convert(str(code), JobErrorCode) is code
