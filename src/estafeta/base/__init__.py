"""What would be useful to a program that has nothing to do with mail."""
