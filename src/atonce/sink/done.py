"""Which items an output holds already: `Done`."""

from __future__ import annotations

from array import array

__all__ = ["Done"]

_PAGE = 4096
_EMPTY = bytes(4 * _PAGE)


class Done:
    """`{index: fingerprint of its input}` in four bytes an item, and a bit for each class that items failed with.

    The fingerprint (`atonce.source.inputs.fingerprint`) is never 0, so 0 can stand for "not held", and one array is
    both the set and the check that the input is still the same. It is kept in pages: one stray index far out costs a
    page, not gigabytes.
    """

    __slots__ = ("_count", "_failed", "_kinds", "_pages", "failed", "last")

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}
        self._failed: dict[int, int] = {}  # by page, a bit for each failed item
        self._kinds: dict[str, dict[int, int]] = {}  # of each class, the same
        self._count = 0
        self.failed = 0
        self.last = -1

    def add(self, index: int, fingerprint: int, *, ok: bool = True, kind: str | None = None) -> None:
        """Hold this item, and with what `kind` of failure; a second row of the same item changes nothing."""
        number, place = divmod(index, _PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = array("I", _EMPTY)
        if page[place]:
            return
        page[place] = fingerprint
        self._count += 1
        if not ok:
            self.failed += 1
            self._failed[number] = self._failed.get(number, 0) | 1 << place
            if kind:
                pages = self._kinds.setdefault(kind, {})
                pages[number] = pages.get(number, 0) | 1 << place
        self.last = max(self.last, index)

    def get(self, index: int) -> int:
        """The fingerprint of the input that the item was made from, or 0 if it is not held."""
        page = self._pages.get(index // _PAGE)
        return page[index % _PAGE] if page is not None else 0

    def is_ok(self, index: int) -> bool:
        """Whether it is held, and did not fail."""
        number, place = divmod(index, _PAGE)
        return index in self and not self._failed.get(number, 0) >> place & 1

    def kind(self, index: int) -> str:
        """The class that a held item failed with; "" where it did not, or nobody knows."""
        number, place = divmod(index, _PAGE)
        return next((kind for kind, pages in self._kinds.items() if pages.get(number, 0) >> place & 1), "")

    def __contains__(self, index: int) -> bool:
        return self.get(index) != 0

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<Done {self._count} items, {self.failed} failed>"
