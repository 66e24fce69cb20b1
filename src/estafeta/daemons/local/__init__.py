"""local(8): mail for the users of this system, and the aliases that stand before them."""
