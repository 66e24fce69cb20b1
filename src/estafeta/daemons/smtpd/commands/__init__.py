"""One file per SMTP verb with substance; the trivial ones are in simple.py."""
