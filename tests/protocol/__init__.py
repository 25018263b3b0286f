"""The protocol as a state machine: the product's own code against a real database, every step checked."""
