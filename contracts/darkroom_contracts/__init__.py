"""What two services must agree on, and nothing else. Imports msgspec and the standard library only."""
