"""Rounds recorded on a GPU: sessions, rows that take free places, what will be asked for next."""
