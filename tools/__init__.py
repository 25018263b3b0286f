"""Tools of the repository that are part of no distribution."""
