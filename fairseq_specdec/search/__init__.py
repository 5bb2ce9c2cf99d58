"""What decides tokens: the loop, the state of a batch, acceptance, the budget of a round."""
