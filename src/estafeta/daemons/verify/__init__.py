"""verify(8): which addresses can be delivered to."""
