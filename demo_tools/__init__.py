"""Commands that make what the demo ships; the served demo never imports them."""
