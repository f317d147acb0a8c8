"""What is wrong with a file, where it stands, and what was probably meant.

```
error[unknown-key]: `wihtin` is not part of `alert`
  --> scenarios/unit_change.scenario.yaml:33:50
33 |   - alert: {field: amount, wihtin: 20m, after: unit_change}
   |                            ^^^^^^ did you mean `within`?
```
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_SHOWN: Final = 160  # a longer line is cut around the caret, so that the caret stays on the screen


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one file.

    Attributes:
        code: Stable, short kind, such as ``unknown-key``.
        message: One line: what is wrong.
        path: The file, as the user named it.
        line: 1-based; 0 if the problem is the file itself (missing, not UTF-8).
        column: 1-based, in characters.
        length: Characters to underline, at least 1.
        hint: What to do, or what was probably meant; shown beside the caret.
        source: The offending line, without its line break.
    """

    code: str
    message: str
    path: str
    line: int = 0
    column: int = 1
    length: int = 1
    hint: str = ""
    source: str = ""

    def __str__(self) -> str:
        head = f"error[{self.code}]: {_clean(self.message)}"
        if not self.line:
            return "\n".join([head, f"  --> {self.path}", *([f"   = {_clean(self.hint)}"] if self.hint else [])])
        source, column = _cut(self.source, self.column)
        number = str(self.line)
        margin = " " * len(number)
        under = "".join(_blank(character) for character in source[: column - 1]).ljust(column - 1)
        marked = source[column - 1 : column - 1 + self.length]
        caret = "^" * max(1, sum(len(_blank(character)) for character in marked))
        rows = [head, f"{margin}--> {self.path}:{self.line}:{self.column}", f"{number} | {_clean(source)}".rstrip()]
        return "\n".join([*rows, f"{margin} | {under}{caret} {_clean(self.hint)}".rstrip()])


class BadInput(Exception):  # noqa: N818 - named after the exit code that it leads to (2, bad input)
    """Files that cannot be run as they are; holds every problem that was found, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Sort the problems by file and place, and drop repetitions (matrix cells share most of theirs)."""
        self.problems: tuple[Problem, ...] = tuple(
            sorted(dict.fromkeys(problems), key=lambda p: (p.path, p.line, p.column))
        )
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        return "\n\n".join([*map(str, self.problems), f"{count} problem{'s' if count != 1 else ''}"])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean `within`?`` if one of the known words is near enough, else an empty string."""
    near = nearest(word, known)
    return f"did you mean `{near}`?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, or None."""
    candidates = {name.casefold(): name for name in known}
    # One swap in a three-letter word already costs a third of the similarity.
    cutoff = 0.75 if len(word) > 4 else 0.6  # noqa: PLR2004
    found = difflib.get_close_matches(word.casefold(), sorted(candidates), n=1, cutoff=cutoff)
    return candidates[found[0]] if found else None


def suggest(word: str, known: Iterable[str], noun: str) -> str:
    """`did_you_mean`, or else the choice there is: ``the events are a, b``."""
    names = list(known)
    return did_you_mean(word, names) or (f"the {noun} are {', '.join(names)}" if names else f"there are no {noun}")


def _blank(character: str) -> str:
    """White space as wide as the character is on a terminal."""
    if character == "\t":
        return "\t"
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "


def _clean(text: str) -> str:
    """A file must not be able to write escape sequences to the reader's terminal."""
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _cut(source: str, column: int) -> tuple[str, int]:
    if len(source) <= _SHOWN:
        return source, column
    start = max(0, min(column - 1 - _SHOWN // 2, len(source) - _SHOWN))
    return source[start : start + _SHOWN], column - start
