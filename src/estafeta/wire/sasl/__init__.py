"""SASL mechanisms as state machines: bytes in, events out. RFC 4422."""
