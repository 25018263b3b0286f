"""Workers: what they do, and which of them drain."""
