"""YAML text → plain data, with the place of every key and every value.

The text is parsed by ruamel.yaml (YAML 1.2: `on` and `12:30` stay text) down to its node graph, whose
marks give exact places; plain values are made from the nodes here, so that duplicate keys, foreign tags and
endless aliases are located problems like any other, and all reported at once.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from ruamel.yaml import YAML, MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.error import MarkedYAMLError, YAMLWarning
from ruamel.yaml.reader import ReaderError

from simulator.scenario.errors import BadInput, Problem

Where = tuple[str | int, ...]  # ("then", 0, "alert", "field")

_MAX_NODES: Final = 20_000  # aliases can multiply a small text without end
_MAX_INTEGER: Final = 2**63
_BREAK: Final = re.compile(r"\r\n|\r|\n")
_PARSER_SAYS: Final = {"but found '\\x00'": "but the text ends", "'<stream end>'": "the end of the text"}
_TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one line; line and column are 1-based."""

    line: int
    column: int
    length: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """A mistake, placed in the data; a `Document` places it in the text."""

    code: str
    message: str
    where: Where
    hint: str = ""
    at: Literal["key", "value"] = "value"
    span: Span | None = None  # for what no path through the data leads to, such as the second of two equal keys


def senseless(where: Where, message: str, hint: str) -> Flaw:
    """The flaw of a key that says nothing where it stands."""
    return Flaw("senseless-key", message, where, hint, "key")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its data (dict, list and scalars) and where each part of it stands."""

    path: str
    lines: tuple[str, ...]
    data: Any = None
    keys: Mapping[Where, Span] = field(default_factory=dict)
    values: Mapping[Where, Span] = field(default_factory=dict)
    scalars: frozenset[Where] = frozenset()

    def span(self, where: Where, at: Literal["key", "value"] = "value") -> Span:
        """The place of a key or value; of the nearest part around it if it is not in the text.

        A list or mapping is pointed at by its key: underlining all of it would underline half the file.
        """
        while True:
            key, value = self.keys.get(where), self.values.get(where)
            found = (key or value) if at == "key" or where not in self.scalars else (value or key)
            if found is not None:
                return found
            if not where:
                return Span(1, 1, 1)
            where, at = where[:-1], "key"

    def problem(self, flaw: Flaw) -> Problem:
        """The flaw, placed in the text."""
        span = flaw.span or self.span(flaw.where, flaw.at)
        source = self.lines[span.line - 1] if span.line <= len(self.lines) else ""
        return Problem(flaw.code, flaw.message, self.path, span.line, span.column, span.length, flaw.hint, source)


def read(path: Path) -> tuple[Document, tuple[Flaw, ...]]:
    """Read and parse one file; see `parse`. Raises BadInput also if it cannot be read as UTF-8 text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput([Problem("no-file", f"cannot be read: {error.strerror}", str(path))]) from error
    except UnicodeDecodeError as error:
        raise BadInput([Problem("not-text", f"is not UTF-8 text (byte {error.start})", str(path))]) from error
    return parse(text, str(path))


def parse(text: str, path: str) -> tuple[Document, tuple[Flaw, ...]]:
    """Plain data with places, and the flaws that do not keep the rest from being looked at (duplicate keys, tags).

    Raises:
        BadInput: The text is not YAML, or holds nothing.
    """
    lines = tuple(_BREAK.split(text))
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", YAMLWarning)  # an anchor defined twice
            root = yaml.compose(text)
    except RecursionError as error:
        raise BadInput([Problem("syntax", "is nested too deeply", path)]) from error
    except Exception as error:  # the parser has crashes of its own on hostile text, such as OverflowError on \UFFFFFFFF
        raise BadInput([_syntax(error, text, lines, path)]) from error
    if root is None:
        raise BadInput([Problem("empty", "holds nothing", path)])
    reading = _Reading(yaml, lines)
    try:
        data = reading.value(root, ())
    except RecursionError as error:
        raise BadInput([Problem("syntax", "is nested too deeply", path)]) from error
    document = Document(path, lines, data, reading.keys, reading.values, frozenset(reading.scalars))
    return document, tuple(reading.flaws)


@dataclass(slots=True)
class _Reading:
    """One walk over the node graph."""

    yaml: YAML
    lines: tuple[str, ...]
    keys: dict[Where, Span] = field(default_factory=dict)
    values: dict[Where, Span] = field(default_factory=dict)
    scalars: set[Where] = field(default_factory=set)
    flaws: list[Flaw] = field(default_factory=list)
    open: set[int] = field(default_factory=set)  # nodes that we are inside of

    def value(self, node: Node, where: Where) -> Any:
        self.values[where] = self.place(node)
        if len(self.values) > _MAX_NODES:
            if len(self.values) == _MAX_NODES + 1:
                self.flaws.append(Flaw("too-large", "the aliases of this file unfold without end", ()))
            return None
        if isinstance(node, ScalarNode):
            self.scalars.add(where)
            return self.scalar(node, where)
        if id(node) in self.open:
            self.flaws.append(Flaw("endless", "this alias contains itself", where))
            return None
        if not str(node.tag).startswith(_TAG):
            self.flaws.append(Flaw("tag", f"tag `{node.tag}` is not part of the language", where))
        self.open.add(id(node))
        made: Any
        if isinstance(node, MappingNode):
            made = {}
            for key, child in self.pairs(node, where):
                made[key] = self.value(child, (*where, key))
        else:
            assert isinstance(node, SequenceNode)  # noqa: S101 - the third and last kind of node
            made = [self.value(child, (*where, index)) for index, child in enumerate(node.value)]
        self.open.discard(id(node))
        return made

    def pairs(self, node: MappingNode, where: Where) -> Iterator[tuple[str, Node]]:
        """Keys are text as written (`1:` is the key "1"); of duplicates the first counts."""
        for key, child in node.value:
            span = self.place(key)
            if not isinstance(key, ScalarNode):
                self.flaws.append(Flaw("bad-key", "a key must be plain text", where, span=span))
                continue
            place = (*where, key.value)
            if place in self.keys:
                hint = f"first given on line {self.keys[place].line}"
                self.flaws.append(Flaw("duplicate-key", f"`{key.value}` is given twice", place, hint, span=span))
                continue
            self.keys[place] = span
            yield key.value, child

    def scalar(self, node: ScalarNode, where: Where) -> Any:
        tag = str(node.tag).removeprefix(_TAG)
        if tag in {"str", "timestamp"}:  # a date is text until somebody wants a date
            return self.text(node, where)
        if tag not in {"null", "bool", "int", "float"}:
            self.flaws.append(Flaw("tag", f"tag `{node.tag}` is not part of the language", where))
            return node.value
        try:
            made = self.yaml.constructor.construct_object(node)
        except Exception:  # noqa: BLE001 - `!!int x` raises ValueError or KeyError or AttributeError, by its tag
            self.flaws.append(Flaw("bad-value", f"`{node.value}` is not of the type that its tag says", where))
            return None
        if not math.isfinite(made) if isinstance(made, float) else abs(made or 0) >= _MAX_INTEGER:
            self.flaws.append(Flaw("bad-value", "is not a number that can be worked with", where))
            return 0
        return made

    def text(self, node: ScalarNode, where: Where) -> str:
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            self.flaws.append(Flaw("bad-value", "holds half of a character (a lone surrogate)", where))
            return ""
        return str(node.value)

    def place(self, node: Node) -> Span:
        """From where the node starts to where it, or its first line, ends."""
        start, end = node.start_mark, node.end_mark
        line = self.lines[start.line] if start.line < len(self.lines) else ""
        stop = end.column if end.line == start.line else len(line.rstrip())
        return Span(start.line + 1, start.column + 1, max(1, stop - start.column))


def _syntax(error: Exception, text: str, lines: tuple[str, ...], path: str) -> Problem:
    """The parser stops at its first error, so this is the one kind of problem that comes alone."""
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        message = " ".join(str(part) for part in (error.context, error.problem) if part)
        for words, plain in _PARSER_SAYS.items():
            message = message.replace(words, plain)
    elif isinstance(error, ReaderError):
        before = _BREAK.split(text[: error.position])
        mark = None
        line, column = len(before), len(before[-1]) + 1
        message = f"character U+{ord(text[error.position]):04X} cannot stand in YAML"
        return Problem("syntax", message, path, line, column, 1, "", lines[line - 1])
    else:
        mark, message = None, "this is not YAML that can be read"
    if mark is None:
        return Problem("syntax", message.strip().splitlines()[0], path, 1, 1, 1, "", lines[0])
    line = min(mark.line, len(lines) - 1)
    return Problem("syntax", message, path, line + 1, mark.column + 1, 1, "", lines[line])
