"""What cleanup(8) does: headers, checks, address mapping, and the commit to the spool."""
