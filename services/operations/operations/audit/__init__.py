"""The audit log: actions of operators."""
