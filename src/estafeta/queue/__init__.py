"""The spool: journals, message files, queue ids, recovery. DESIGN section 4, docs/queue-states.md."""
