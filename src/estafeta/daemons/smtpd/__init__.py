"""smtpd: the server side of SMTP."""
