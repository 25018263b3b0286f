import pytest

from darkroom_contracts.errors import JobErrorCode
from gpu_consumer import protocol
from gpu_consumer.startup import StartupCode
from tests.support.models import job_input, load_of, picture, ready, rendered

COMMANDS = [
    load_of("/models/tiny"),
    protocol.RenderRequest(job_input(prompt="é🙂")),
    protocol.Abort(),
]
EVENTS = [
    ready(),
    protocol.StartupFailed(StartupCode.MODEL_MISSING, "gone"),
    protocol.Step(1, 20),
    protocol.Preview(2, 1, 1, b"png"),
    picture(protocol.RenderedImage(1, 1, 7, b"\x00\xff\x80"), index=3, tiled=True),
    rendered(),
    protocol.Aborted(3),
    protocol.RenderFailed(JobErrorCode.PIPELINE_ERROR, "no", protocol.FailureKind.PERMANENT),
]


def _body(frame: bytes) -> bytes:
    header, body = frame[: protocol.HEADER_BYTES], frame[protocol.HEADER_BYTES :]
    assert protocol.body_length(header) == len(body)
    return body


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_commands_survive_the_wire(command: protocol.Command) -> None:
    """Every command is decoded as it was encoded."""
    assert protocol.decode_command(_body(protocol.encode(command))) == command


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_survive_the_wire(event: protocol.Event) -> None:
    """Every event is decoded as it was encoded."""
    assert protocol.decode_event(_body(protocol.encode(event))) == event


def test_one_direction_each() -> None:
    """A command is not decoded as an event, nor an event as a command."""
    with pytest.raises(protocol.ProtocolError):
        protocol.decode_event(_body(protocol.encode(protocol.Abort())))
    with pytest.raises(protocol.ProtocolError):
        protocol.decode_command(b"\xc1")


def test_frames_are_bounded() -> None:
    """A header that announces more than the bound is refused before a byte of it is read."""
    with pytest.raises(protocol.ProtocolError, match="larger than"):
        protocol.body_length((protocol.MAX_FRAME_BYTES + 1).to_bytes(protocol.HEADER_BYTES, "big"))
