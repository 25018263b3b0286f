"""Host names as resolvers and TLS read them: ASCII, lower case, each label within the bounds of DNS."""

import re

import idna

MAX_NAME_LENGTH = 253
"""The longest name in text (RFC 1035, 255 bytes on the wire)."""

# Underscores are not allowed in host names, but containers have them, and DNS does not mind.
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_LOWER_CASE = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class HostNameError(ValueError):
    """The text is not a host name; the error continues a sentence that begins with the name of a URL."""


def to_ascii(name: str) -> str:
    """Return the name in lower case, its international labels in the ASCII form of IDNA 2008. Raises HostNameError.

    Nothing is mapped but the case of ASCII letters: full-width digits, ligatures, ideographic dots and whatever else
    IDNA's mappings would turn into digits and dots is refused.
    """
    if not name:
        raise HostNameError("must name a host")
    if "%" in name:
        raise HostNameError("must not have a percent-encoded host")
    if name.endswith("."):
        raise HostNameError("must not have a host that ends in a dot")
    ascii_name = ".".join(map(_label_to_ascii, name.translate(_LOWER_CASE).split(".")))
    if len(ascii_name) > MAX_NAME_LENGTH:
        raise HostNameError(f"must not have a host of more than {MAX_NAME_LENGTH} characters")
    return ascii_name


def _label_to_ascii(label: str) -> str:
    if not label:
        raise HostNameError("must not have a host with an empty label (two dots in a row, or a dot at its beginning)")
    if label.isascii() and not label.startswith("xn--"):
        return _checked(label)
    try:
        return idna.alabel(label).decode("ascii")
    except idna.IDNAError as error:
        raise HostNameError("must not have a host with characters that IDNA 2008 does not allow") from error


def _checked(label: str) -> str:
    if not _LABEL.fullmatch(label):
        raise HostNameError("must have a host of labels with 1 to 63 letters, digits and inner hyphens")
    return label
