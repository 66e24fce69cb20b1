"""bounce(8): reports to senders and to the postmaster."""
