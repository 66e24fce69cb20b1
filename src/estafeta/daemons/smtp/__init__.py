"""The SMTP and LMTP client: smtp(8) and lmtp(8)."""
