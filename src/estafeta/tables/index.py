"""Every table type, by name, and the one function that opens a table.

Modules are imported on first use, so that a site without PostgreSQL does not pay for its client.
"""
