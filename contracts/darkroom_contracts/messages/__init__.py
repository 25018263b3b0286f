"""Messages between services, a module a version. The version lives in each message's tag."""

from darkroom_contracts.messages.v1 import UndecodableMessageError
from darkroom_contracts.messages.v2 import RenderMessage, decode_render, encode_render

__all__ = ["RenderMessage", "UndecodableMessageError", "decode_render", "encode_render"]
