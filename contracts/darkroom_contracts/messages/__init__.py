"""Messages between services, one module for each version. The tag of a message has its version."""

from darkroom_contracts.messages.v1 import UndecodableMessageError
from darkroom_contracts.messages.v2 import RenderMessage, decode_render, encode_render

__all__ = ["RenderMessage", "UndecodableMessageError", "decode_render", "encode_render"]
