"""Mailboxes: maildir, mbox, and the locks and limits that go with them."""
