"""Drafters: each guesses the next tokens of every row; importing this package registers them."""

from fairseq_specdec.drafters import nat, none  # noqa: F401
