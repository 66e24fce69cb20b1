"""TLS: what a server offers and learns of its clients."""
