"""What senders of messages put into them to do something in an operator's terminal."""

from unicodedata import category

HOSTILE = (
    "\x1b[2J\x1b[1;1H"  # clear the screen, and write from its top
    "\x1b]52;c;cm0gLXJmIC8K\x07"  # set the clipboard
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\"  # a hyperlink
    "\x9b31mred\x9d0;title\x9c"  # the same in one byte each
    "\x07\x08\x7f\r"  # ring, erase, return
    "\u202egnp.exe\u202c \u2066isolated\u2069 \u200f"  # bidirectional overrides, isolates and marks
    "\u2028line\u2029paragraph\x85\x0b\x0c"  # ends of lines beside the line feed
    "\u200b\ufeff\u00ad\U000e0041"  # invisible characters
    "[bold red]markup[/bold red] :warning:"
)
BOLD, PLAIN = ("\x1b[1m", ""), ("\x1b[0m", "")
"""What commands write around headings, to be removed."""


def assert_safe(text: str) -> None:
    """Fail unless a terminal shows the text as it is: nothing in it is a control or formatting character."""
    shown = text.replace(*BOLD).replace(*PLAIN)
    dangerous = {char for char in shown if char != "\n" and category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")}
    assert dangerous == set()
