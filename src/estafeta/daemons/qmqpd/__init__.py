"""qmqpd(8): takes mail from trusted hosts over QMQP, one message a connection."""
