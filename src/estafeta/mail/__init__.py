"""What mail is: addresses, envelopes, headers, delivery status. No I/O, no clock, no configuration."""
