"""Compiled code for the CPU: its library, and what calls it."""
