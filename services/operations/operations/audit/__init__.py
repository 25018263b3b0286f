"""The audit log: which operator did what."""
