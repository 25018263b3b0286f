"""Keeps the tier quick."""

from tests.support.quick_tier import pytest_make_collect_report, pytest_runtest_call, pytest_runtest_setup

__all__ = ["pytest_make_collect_report", "pytest_runtest_call", "pytest_runtest_setup"]
