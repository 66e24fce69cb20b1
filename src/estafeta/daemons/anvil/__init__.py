"""anvil(8): counts of clients and users, for all processes in common."""
