"""Whether a function, or an item, is the same as one in an earlier process: digests that depend on nothing but what it is.

Not on addresses, hash seeds, the order of a set, or on which equal objects happened to be one object, all of which a pickle
would show. Plain data is written by `marshal` (version 2: C speed, sets in order, no references between objects); anything
else is taken apart as `pickle` would (`__reduce_ex__`), and what cannot be taken apart, such as a lock, counts by its type
alone. Plain data in which lists and tuples are shared is written out as often as they are met, as its repr would be. A digest
holds for one bytecode format, that is one minor version of Python.
"""

from __future__ import annotations

import functools
import marshal
import sys
import types
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, repeat
from typing import Any

from ..errors import shown

__all__ = ["MARSHAL", "NAME", "Print", "changes", "digest", "identity", "prints", "shown_by"]

# `marshal` since version 3 notes which objects are one and the same, which differs between equal things.
MARSHAL = 2
# Bytes of an item's plain form up to which it is kept, to show the item; characters of a text that stands for a longer one.
SHORT = 100
# Bytes of plain data in an object up to which its repr is made: that of a large table takes longer than what is done with it.
SMALL = 1000
# What a text begins with, and no plain form does.
_TEXT = b"="

# What is kept of an item to know it again: the CRC-32 of its plain form, and something to show it by (see `shown_by`).
Print = tuple[int, bytes]


def prints(items: Sequence[Any]) -> list[Print]:
    """The prints of these items: 0.2 microseconds for a small one of plain data, fifty times that for an object."""
    try:
        forms = list(map(marshal.dumps, items, repeat(MARSHAL)))
    except ValueError:
        return [_print(item) for item in items]
    short: Iterable[bytes] = forms
    if max(map(len, forms), default=0) > SHORT:
        short = [form if len(form) <= SHORT else _text(item, len(form)) for item, form in zip(items, forms, strict=True)]
    return list(zip(map(zlib.crc32, forms), short, strict=True))


def _print(item: Any) -> Print:
    try:
        form = marshal.dumps(item, MARSHAL)
    except ValueError:  # not plain through and through
        walk = _Digest()
        form = walk.whole(item)
        return zlib.crc32(form), _text(item, walk.size, SMALL)
    return zlib.crc32(form), form if len(form) <= SHORT else _text(item, len(form))


def _text(item: Any, size: int, small: int = 0) -> bytes:
    if isinstance(item, str | bytes):
        text = repr(item[:SHORT])
    elif size <= small:
        text = shown(item)
    else:
        text = f"a {type(item).__name__} of {size:,} bytes"
    return _TEXT + text[:SHORT].encode("utf-8", "backslashreplace")


def shown_by(kept: bytes) -> str:
    """The item that a print was taken of, in words."""
    return kept[1:].decode() if kept.startswith(_TEXT) else shown(marshal.loads(kept))


# ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────────


VERSION = "the version of Python"
NAME = "its name"
CODE = "its code"
SETUP = "the name of setup="


def identity(fn: Callable[..., Any], setup: Callable[..., Any] | None = None) -> dict[str, str]:
    """What makes a function what it is: a part in words → its name or digest.

    Seen: its name and module, its code with the constants and names in it (a docstring is one), default values, what it
    closes over, the arguments of a partial, the object of a bound method, functions that it wraps; of `setup` the name, since
    how something is connected to may change. Not seen: the functions and global variables that it uses by name, and what the
    packages do that it calls.
    """
    parts = {VERSION: str(sys.implementation.cache_tag), **dict(_parts(fn))}
    return parts if setup is None else {**parts, SETUP: _name(_plain(setup))}


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The parts that are not the same, in words; of those that have names, which it was."""
    if before.get(VERSION) != now.get(VERSION):
        return [f"{VERSION} (it was {before.get(VERSION)})"]  # which has bytecode of its own: there is nothing to compare
    different = [part for part in {**before, **now} if before.get(part) != now.get(part)]
    return [f"{part} (it was {before.get(part, 'none')})" if part in (NAME, SETUP) else part for part in different]


_CACHE = type(functools.cache(len))


def _plain(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def _parts(fn: Any) -> Iterator[tuple[str, str]]:
    if isinstance(fn, functools.partial):
        if fn.args:
            yield "the arguments of the partial", digest(fn.args).hex()
        for name, value in fn.keywords.items():
            yield f"{name}= of the partial", digest(value).hex()
        yield from _parts(fn.func)
    elif isinstance(fn, types.MethodType):
        yield "the object that it is a method of", digest(fn.__self__).hex()
        yield from _parts(fn.__func__)
    elif isinstance(fn, types.FunctionType):
        yield NAME, _name(fn)
        yield CODE, digest(fn.__code__).hex()
        if fn.__defaults__ or fn.__kwdefaults__:
            yield "its default values", digest((fn.__defaults__, fn.__kwdefaults__)).hex()
        for name, value in _closure(fn):
            yield f"{name!r}, which it closes over", digest(value).hex()
    elif type(fn) is _CACHE:
        yield from _parts(fn.__wrapped__)
    elif isinstance(fn, type) or type(fn).__module__ == "builtins":
        yield NAME, _name(fn)
        for name in ("__new__", "__init__"):
            if isinstance(made := getattr(fn, name, None), types.FunctionType):
                yield f"the code of its {name}", digest(made).hex()
    else:
        yield NAME, _name(type(fn))
        yield CODE, digest(getattr(type(fn), "__call__", None)).hex()  # noqa: B004
        yield "its attributes", digest(fn).hex()


def _closure(fn: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # nothing was assigned to it yet
            yield name, None


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def digest(value: Any) -> bytes:
    """Sixteen bytes that are the same for the same value in every process."""
    return _Digest().whole(value)


class _Digest:
    """One walk through a value. `size` is how many bytes of plain data it met."""

    def __init__(self) -> None:
        self.size = 0
        # id → the object, kept so that no other gets its id, and its digest: None on the way through it
        self._known: dict[int, tuple[Any, bytes | None]] = {}

    def whole(self, value: Any) -> bytes:
        """Its digest, or that of its type where it is nested too deep."""
        try:
            return self._of(value)
        except RecursionError:
            return _named(type(value))

    def _of(self, value: Any) -> bytes:
        if isinstance(value, types.CodeType):  # `marshal` would write its file and lines as well
            return self._code(value)
        try:
            plain = marshal.dumps(value, MARSHAL)
        except ValueError:
            pass
        else:
            self.size += len(plain)
            return _joined(_name(type(value)), [plain])
        _, known = self._known.get(id(value), (None, b""))
        if known is None:
            return _joined("within itself", [])
        if not known:
            self._known[id(value)] = value, None
            known = self._apart(value)
            self._known[id(value)] = value, known
        return known

    def _all(self, kind: str, parts: Iterable[Any]) -> bytes:
        return _joined(kind, [self._of(part) for part in parts])

    def _code(self, code: types.CodeType) -> bytes:
        """All but where it stands: file, lines and columns."""
        shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return self._all("code", [code.co_code, code.co_exceptiontable, shape, names, *code.co_consts])

    def _apart(self, value: Any) -> bytes:
        kind = type(value)
        if kind in (list, tuple):
            return self._all(kind.__name__, value)
        if kind in (set, frozenset):
            return _joined(kind.__name__, sorted(map(self._of, value)))
        if kind is dict:
            return self._all("dict", chain.from_iterable(value.items()))
        if kind is types.FunctionType:
            held = [content for _, content in _closure(value)]
            return self._all(_name(value), [value.__code__, value.__defaults__, value.__kwdefaults__, *held])
        if kind is types.MethodType:
            return self._all("method", [value.__func__, value.__self__])
        if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
            return _named(value)
        return self._reduced(value)

    def _reduced(self, value: Any) -> bytes:
        try:
            reduced = value.__reduce_ex__(4)
            if isinstance(reduced, str):
                return _joined("global", [reduced.encode()])
            make, args, state, items, pairs = (*reduced, None, None, None)[:5]
            parts = [args, state, list(items or ()), list(pairs or ())]
        except RecursionError:
            raise
        except Exception:  # it holds what belongs to this process only
            return _named(type(value))
        return _joined(_name(type(value)), [_named(make), *map(self._of, parts)])


def _named(thing: Any) -> bytes:
    return _joined("named", [_name(thing).encode()])


def _joined(kind: str, parts: Iterable[bytes]) -> bytes:
    joined = blake2b(kind.encode(), digest_size=16)
    for part in parts:
        joined.update(b"%d:" % len(part))
        joined.update(part)
    return joined.digest()


def _name(thing: Any) -> str:
    """`module:qualname`; of a module, its name."""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or type(thing).__qualname__
    return f"{getattr(thing, '__module__', None) or ''}:{name}"
