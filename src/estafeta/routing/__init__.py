"""What trivial-rewrite(8) knows: rewrite an address to standard form, resolve it to transport and next hop."""
