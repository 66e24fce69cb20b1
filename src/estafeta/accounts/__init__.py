"""Who may log in, and who the local users are."""
