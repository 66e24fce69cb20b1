"""One file per conversation between our processes: its request, its reply, the function that asks."""
