"""A name -> class registry whose error for an unknown name helps."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """Map names to classes of one kind.

    Args:
        kind: what the entries are, as used in messages ("drafter").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Return a class decorator that registers under ``name``."""

        def add(cls: type[T]) -> type[T]:
            assert name not in self._entries, f"{self.kind} '{name}' is registered twice"
            self._entries[name] = cls
            return cls

        return add

    def __getitem__(self, name: str) -> type[T]:
        """Return the class registered as ``name``.

        Raises:
            ValueError: there is none; the message gives the nearest name and all known ones.
        """
        if name in self._entries:
            return self._entries[name]
        near = difflib.get_close_matches(name, self._entries, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"Unknown {self.kind} '{name}'.{hint} Known: {', '.join(self)}.")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in alphabetical order."""
        return iter(sorted(self._entries))
