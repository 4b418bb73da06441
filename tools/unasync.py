"""Generate the blocking twins of what is written once, as asyncio code.

    python tools/unasync.py            write every generated file that is not fresh
    python tools/unasync.py --check    write nothing; print what differs and exit 1

How to write a source (``aio.py``, ``*_aio.py``, or a test named ``test_*_aio.py``):

* Write plain ``async``/``await`` code: each of these words is dropped, with the space after it.
* Names change as ``RENAMED`` says: ``AsyncClient`` becomes ``Client``, ``from cenote.runtime.aio
  import sleep`` becomes ``from cenote.runtime.sync import sleep``. Whole words change likewise in
  strings, docstrings and comments: examples and messages read right on both sides.
* Where the two worlds differ (sleeping, locks, tasks, what may be awaitable), import the difference
  from ``cenote.runtime.aio``; ``cenote.runtime.sync`` has the same names. There are no markers for
  one side only.

Calls that became short enough are joined as the formatter would. Where that is not enough for it, a
comma after the last argument of the source keeps the layout on both sides.

A rule that no source uses is an error: the lists stay true.
"""

from __future__ import annotations

import argparse
import difflib
import io
import re
import sys
import tokenize
from collections import Counter
from itertools import accumulate, pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SOURCES = (
    "src/cenote/client/*_aio.py",
    "src/cenote/cluster/*aio.py",
    "tests/client/test_*_aio.py",
    "tests/client/troubled_aio.py",
)
# Keywords that are dropped, with the space after them.
DROPPED = ("async", "await")
# Identifiers that change: a pattern of the whole word, and what it becomes.
RENAMED = {
    r"Async([A-Z]\w*)": r"\1",
    r"__a(enter|exit)__": r"__\1__",
    r"(\w+_|)aio": r"\1sync",
}

LINE_LENGTH = 100

_TEXT = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


class Unasync:
    """Turns sources into their blocking twins.

    Args:
        dropped: Keywords to drop.
        renamed: Patterns of identifiers to replace, and by what.

    Attributes:
        used: How often each rule was used so far.
    """

    def __init__(
        self, dropped: tuple[str, ...] = DROPPED, renamed: dict[str, str] | None = None
    ) -> None:
        self._dropped = dropped
        self._renamed = RENAMED if renamed is None else renamed
        self._dropped_word = re.compile(rf"\b(?:{'|'.join(dropped)}) ")
        self.used: Counter[str] = Counter()

    def convert(self, source: str) -> str:
        """Return the blocking twin of ``source``; what no rule names is copied as it stands."""
        lines = source.splitlines(keepends=True)
        line_starts = [0, *accumulate(map(len, lines))]
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        result, copied = [], 0
        for token, following in pairwise(tokens):
            start = line_starts[token.start[0] - 1] + token.start[1]
            end = line_starts[token.end[0] - 1] + token.end[1]
            result.append(source[copied:start])
            if token.type == tokenize.NAME and token.string in self._dropped:
                self.used[token.string] += 1
                end = line_starts[following.start[0] - 1] + following.start[1]
            elif token.type == tokenize.NAME:
                result.append(self._name(token.string))
            elif token.type in _TEXT:
                result.append(self._text(source[start:end]))
            else:
                result.append(source[start:end])
            copied = end
        return "".join(result)

    def unused(self) -> list[str]:
        """Return the rules no source has used in its code."""
        return [rule for rule in (*self._dropped, *self._renamed) if not self.used[rule]]

    def _name(self, name: str) -> str:
        for pattern, replacement in self._renamed.items():
            if found := re.fullmatch(pattern, name):
                self.used[pattern] += 1
                return found.expand(replacement)
        return name

    def _text(self, text: str) -> str:
        text = self._dropped_word.sub("", text)
        for pattern, replacement in self._renamed.items():
            text = re.sub(rf"\b{pattern}\b", replacement, text)
        return text


def join_brackets(text: str) -> str:
    """Join three lines, ``f(``, its arguments and ``)``, that fit on one.

    As for the formatter, arguments that end with a comma stay on a line of their own.
    """
    lines = text.splitlines(keepends=True)
    opened: list[int] = []
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    for before, token in pairwise(token for token in tokens if token.type != tokenize.NL):
        if token.type == tokenize.OP and token.string in "([{":
            opened.append(token.start[0] - 1)
        elif token.type == tokenize.OP and token.string in ")]}":
            first, last = opened.pop(), token.start[0] - 1
            if last == first + 2 and before.type != tokenize.COMMENT and before.string != ",":
                head, arguments, tail = lines[first : last + 1]
                joined = head.rstrip() + arguments.strip() + tail.lstrip()
                if head.rstrip()[-1:] in {"(", "[", "{"} and len(joined.rstrip()) <= LINE_LENGTH:
                    lines[first : last + 1] = joined, "", ""
    return "".join(lines)


def sources(root: Path) -> list[Path]:
    """Return every source under ``root``, as relative paths."""
    return [path.relative_to(root) for pattern in SOURCES for path in sorted(root.glob(pattern))]


def target_of(source: Path) -> Path:
    """Return the name of the file generated from ``source``."""
    return source.with_name(source.name.replace("aio", "sync"))


def header(source: Path) -> str:
    """Return the first line of the file generated from ``source``."""
    return f"# Generated from {source.as_posix()} by tools/unasync.py; do not edit.\n"


def generate(root: Path) -> tuple[dict[Path, str], list[str]]:
    """Return the text of every generated file, and the rules that were of no use."""
    unasync = Unasync()
    texts = {
        target_of(source): header(source)
        + join_brackets(unasync.convert((root / source).read_text("utf-8")))
        for source in sources(root)
    }
    return texts, unasync.unused()


def difference(root: Path, target: Path, text: str) -> str:
    """Return a unified diff from the file as it stands to what it should be; empty if fresh."""
    path = root / target
    current = path.read_text("utf-8") if path.exists() else ""
    diff = difflib.unified_diff(
        current.splitlines(keepends=True), text.splitlines(keepends=True), str(target), "generated"
    )
    return "".join(diff)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write what is not fresh, or with ``--check`` print it; return the exit status."""
    parser = argparse.ArgumentParser(description="Generate the blocking twins of asyncio sources.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if not fresh")
    check = parser.parse_args(arguments).check
    texts, unused = generate(root)
    stale = {
        target: diff for target, text in texts.items() if (diff := difference(root, target, text))
    }
    for target, diff in stale.items():
        if check:
            print(diff, end="")
        else:
            (root / target).write_text(texts[target], "utf-8")
            print(f"wrote {target}")
    if unused:
        print(f"rules no source uses: {', '.join(unused)}: remove them from tools/unasync.py")
    return 1 if unused or (check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
