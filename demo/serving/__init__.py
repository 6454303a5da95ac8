"""How the demo faces strangers: what is refused, what is shared out, and what is deleted."""
