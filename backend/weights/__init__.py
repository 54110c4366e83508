"""Weights that come with the checkout, each with a card that says what it is."""
