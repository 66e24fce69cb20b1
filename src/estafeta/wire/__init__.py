"""Protocols: bytes in, events out. No I/O, no clock, no configuration."""
