"""Text that Postgres can store."""

NUL = "\x00"


def storable(text: str) -> str:
    """Replace what PostgreSQL's text can't hold: NUL and lone surrogates.

    Source: https://www.postgresql.org/docs/current/datatype-character.html
    """
    return text.encode("utf-8", "replace").decode().replace(NUL, "\N{REPLACEMENT CHARACTER}")
