"""Estafeta: a complete mail system that takes the place of Postfix."""

__version__ = "0.1.0"
