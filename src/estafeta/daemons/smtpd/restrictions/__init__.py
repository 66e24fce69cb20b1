"""What the administrator wants checked before mail is accepted: one small function per restriction."""
