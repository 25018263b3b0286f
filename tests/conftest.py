"""Makes the shared fixtures known to every test."""

pytest_plugins = ["tests.support.run", "tests.support.fixtures", "tests.support.models", "tests.support.stack_fixtures"]
