"""Drafters: each guesses the next tokens of every row; importing this package registers them."""

from fairseq_specdec.drafters import autoregressive, file, input, nat, ngram, none, stack  # noqa: F401
