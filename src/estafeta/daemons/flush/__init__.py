"""flush(8): keeps account of the mail that waits for each site of fast_flush_domains."""
