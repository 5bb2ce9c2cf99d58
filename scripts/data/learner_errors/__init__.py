"""Learners' errors made from clean English sentences: training pairs for grammatical error correction."""

from .generator import ERRORS, ErrorConfig, ErrorGenerator, load_config

__all__ = ["ERRORS", "ErrorConfig", "ErrorGenerator", "load_config"]
