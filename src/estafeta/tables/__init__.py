"""Lookup tables `type:name`, one file per type; `index.py` lists them."""
