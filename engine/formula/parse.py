"""A parser of formulas as strings, in the language of KeOps: from a string to nodes.

.. code-block:: text

    formula    = bars [ ("<" | "<=" | ">" | ">=" | "==" | "!=") bars ]
    bars       = sum { "|" sum }                       scalar product; or, of truth values
    sum        = product { ("+" | "-") product }
    product    = signed { ("*" | "/") signed }
    signed     = { "-" | "+" } power
    power      = part [ "**" signed ]
    part       = atom { "[" integer [ ":" integer ] "]" }
    atom       = number | name | name "(" [ argument { "," argument } ] ")" | "(" formula ")"
    argument   = formula | [ "-" ] number | "[" [ integer { "," integer } ] "]"
    variable   = [ name "=" ] kind "(" integer { "," integer } ")"
    kind       = "Vi" | "Vj" | "Pm" | "Var"            also "Vx" and "Vy", as KeOps once wrote

Precedence is that of Python, which is KeOps's. A name is a variable that was declared, or one of
`keops.names`, which says of what kind each argument is. Numbers in a formula are constants.

A variable is declared as ``"x = Vi(3)"`` (points as rows, of 3 components: the place in the list is
its number among the arrays), ``"y = Vj(1, 3)"`` (columns, number 1) or ``"Var(2, 1, 2)"``.

Every error shows the string, with carets under the place. Nothing is ever evaluated by Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from ..errors import ArgumentError, GeoreduceError, did_you_mean, expected
from . import ops as o
from .expr import Expr, constant, variable
from .keops import AXES, Name, names, power, suggestions

T = TypeVar("T")
NESTING = 64
"""How deep parentheses may stand in each other: each takes up to ten frames of Python's stack."""

_TOKEN = re.compile(
    r"(?P<number>(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\*\*|<=|>=|==|!=|[-+*/|<>()\[\],:=])|(?P<space>\s+)|(?P<other>.)"
)


def _bar(x: Expr, y: Expr) -> Expr:
    return (o.logical_or if x.kind == y.kind == "boolean" else o.OPS["dot"])(x, y)


BINARY: dict[str, tuple[int, Callable[[Expr, Expr], Expr]]] = {
    "<": (0, o.lt),
    "<=": (0, o.le),
    ">": (0, o.gt),
    ">=": (0, o.ge),
    "==": (0, o.eq),
    "!=": (0, o.ne),
    "|": (1, _bar),
    "+": (2, o.add),
    "-": (2, o.sub),
    "*": (3, o.mul),
    "/": (3, o.div),
    "**": (5, power),
}
"""Precedence and meaning; a sign, of precedence 4, binds less than a power."""
_SIGN, _POWER = 4, 5


@dataclass(frozen=True)
class Token:
    """A word of the string: "number", "name", "sign" or "end", and where it starts."""

    kind: str
    text: str
    start: int


def tokens(text: str) -> Iterator[Token]:
    """Yield the words of a string, and an end."""
    for found in _TOKEN.finditer(text):
        kind = str(found.lastgroup)
        if kind == "other":
            what = "a number, a name, an operator or a parenthesis"
            raise fault(ArgumentError, what, repr(found[0]), text, found.start())
        if kind != "space":
            yield Token(kind, found[0], found.start())
    yield Token("end", "", len(text))


def fault(
    error: type[GeoreduceError],
    what: str,
    got: str,
    text: str,
    start: int,
    n: int = 1,
    cure: str = "",
) -> GeoreduceError:
    """Return an error that shows n characters of a string."""
    return error(located(expected(what, got, cure), text, start, n))


def located(message: str, text: str, start: int, n: int) -> str:
    """Return a message with the line of a string that it is about, and carets below."""
    first = text.rfind("\n", 0, start) + 1
    line = text[first:].partition("\n")[0]
    before = line[: start - first].expandtabs()
    return f"{message}\n    {line.expandtabs()}\n    {' ' * len(before)}{'^' * max(1, n)}"


def parse_variable(text: str, position: int) -> tuple[str, Expr]:
    """Return the name and the variable of a declaration; the name is "" if it has none.

    Parameters
    ----------
    text : str
        As ``"x = Vi(3)"``.
    position : int
        Number of the variable, if the string has none.

    Examples
    --------
    >>> parse_variable("y = Vj(3)", 1)
    ('y', y1)
    """
    return _Parser(text, {}).declaration(position)


def parse_formula(text: str, declared: Mapping[str, Expr] | None = None) -> Expr:
    """Return the formula that a string says.

    Parameters
    ----------
    text : str
        As ``"Exp(-SqDist(x, y)) * b"``.
    declared : mapping of str to Expr, optional
        The variables by name.

    Raises
    ------
    ArgumentError
        If the string is no formula.
    ShapeError
        If dimensions do not fit.

    Examples
    --------
    >>> parse_formula("Exp(-SqDist(Var(0,3,0), Var(1,3,1)))")
    exp(-sum(square(x0 - y1)))
    """
    parser = _Parser(text, declared or {})
    return parser.finished(parser.formula())


class _Parser:
    """A parser by precedence of one string, from left to right."""

    def __init__(self, text: str, declared: Mapping[str, Expr]) -> None:
        if not isinstance(text, str):
            raise ArgumentError(expected("a formula as a string", type(text).__name__))
        self.text, self.declared = text, declared
        self.slots = {e.params[1]: e for e in declared.values()}
        self.words = list(tokens(text))
        self.at = self.depth = 0

    # --- Words ---------------------------------------------------------------------------------

    @property
    def word(self) -> Token:
        return self.words[self.at]

    def next(self) -> Token:
        word = self.word
        self.at += word.kind != "end"
        return word

    def takes(self, sign: str) -> bool:
        """Go past a sign if it comes next."""
        if self.word.kind == "sign" and self.word.text == sign:
            self.at += 1
            return True
        return False

    def needs(self, sign: str, opened: Token | None = None) -> None:
        if not self.takes(sign):
            self.lacks(repr(sign), opened)

    def lacks(self, what: str, opened: Token | None) -> NoReturn:
        """Raise for what does not come next; at a parenthesis that is never closed, if it is."""
        if opened is not None and self.word.kind == "end":
            got = f"a formula that ends before {opened.text!r} is closed"
            raise fault(ArgumentError, what, got, self.text, opened.start)
        self.refuse(what)

    def refuse(self, what: str, word: Token | None = None, cure: str = "") -> NoReturn:
        word = word or self.word
        got = repr(word.text) if word.text else "the end of the formula"
        n = len(word.text)
        raise fault(ArgumentError, what, got, self.text, word.start, n, cure)

    def finished(self, result: T) -> T:
        """Return what was made of the whole string."""
        if self.word.kind != "end":
            self.refuse("an operator or the end of the formula")
        return result

    def make(self, word: Token, build: Callable[..., Expr], *args: Any) -> Expr:
        """Return a node; what is wrong with it is told at its operator or name."""
        try:
            return build(*args)
        except GeoreduceError as error:
            message = located(str(error), self.text, word.start, len(word.text))
            raise type(error)(message) from None

    # --- Formulas ------------------------------------------------------------------------------

    def formula(self, least: int = 0) -> Expr:
        """Return the formula of all operators from a precedence on."""
        left = self.signed() if least <= _SIGN else self.part()
        while self.word.kind == "sign" and self.word.text in BINARY:
            precedence, build = BINARY[self.word.text]
            if precedence < least:
                break
            word = self.next()
            # a power holds what follows with its signs; comparisons do not chain
            right = self.formula(_SIGN if precedence == _POWER else precedence + 1)
            left = self.make(word, build, left, right)
            if precedence == 0 and self.word.text in BINARY and BINARY[self.word.text][0] == 0:
                self.refuse("one comparison, or parentheses around the first")
        return left

    def signed(self) -> Expr:
        """Return what follows signs."""
        signs = []
        while self.word.text in ("-", "+"):
            signs.append(self.next())
        e = self.formula(_POWER) if signs else self.part()
        for word in reversed([w for w in signs if w.text == "-"]):
            value = e.params[0] if e.is_constant else None
            e = constant(-value, e.dim) if value else self.make(word, o.neg, e)
        return e

    def part(self) -> Expr:
        """Return an atom, or components of it."""
        e = self.atom()
        while self.word.text == "[":
            word = self.next()
            start = self.integer("an index")
            if self.takes(":"):
                e = self.make(word, o.OPS["extract"], e, start, self.integer("an index") - start)
            else:
                e = self.make(word, o.OPS["elem"], e, start)
            self.needs("]", word)
        return e

    def atom(self) -> Expr:
        word = self.next()
        if word.kind == "number":
            return constant(float(word.text))
        if word.kind == "name":
            if word.text in self.declared:
                return self.declared[word.text]
            return self.call(word)
        if word.text != "(":
            self.refuse("a number, a name or '('", word)
        e = self.inside(word, self.formula)
        self.needs(")", word)
        return e

    def inside(self, word: Token, parse: Callable[[], T]) -> T:
        """Return what parentheses hold."""
        self.depth += 1
        if self.depth > NESTING:
            what = f"at most {NESTING} parentheses in each other"
            raise fault(ArgumentError, what, "more", self.text, word.start)
        result = parse()
        self.depth -= 1
        return result

    def call(self, word: Token) -> Expr:
        known = names(word.text)
        if known is None:
            cure = did_you_mean(word.text, [*self.declared, *suggestions()])
            variables = f" or one of the variables {', '.join(self.declared)}"
            what = f"an operation{variables if self.declared else ''}"
            self.refuse(what, word, cure)
        opened = self.word
        if not self.takes("("):
            self.refuse(f"'(' after {word.text}")
        args = self.inside(opened, lambda: self.arguments(word, known, opened))
        if word.text in AXES:
            return self.variable_of(word, args)
        return self.make(word, known.build, *args)

    def arguments(self, word: Token, known: Name, opened: Token) -> list[Any]:
        args: list[Any] = []
        while not self.takes(")"):
            if args and not self.takes(","):
                self.lacks("',' or ')'", opened)
            kind = known.kinds[min(len(args), len(known.kinds) - 1)] if known.kinds else "formula"
            args.append(self.argument(kind, f"argument {len(args) + 1} of {word.text}"))
        if not known.least <= len(args) <= len(known.kinds):
            some = sorted({known.least, len(known.kinds)})
            plural = "s" if some[-1] != 1 else ""
            what = f"{word.text} of {' or '.join(map(str, some))} argument{plural}"
            n = self.words[self.at - 1].start + 1 - word.start
            raise fault(ArgumentError, what, str(len(args)), self.text, word.start, n)
        return args

    def argument(self, kind: str, what: str) -> Any:
        if kind == "integer":
            return self.integer(what)
        if kind == "integers":
            word = self.word
            if not self.takes("["):
                self.refuse(f"a list of integers as {what}")
            if self.takes("]"):
                return ()
            found = [self.integer(what)]
            while self.takes(","):
                found.append(self.integer(what))
            self.needs("]", word)
            return tuple(found)
        word = self.word
        e = self.formula()
        if kind == "number":
            if not (e.is_constant and e.dim == 1):
                raise fault(
                    ArgumentError, f"a number as {what}", "a formula", self.text, word.start
                )
            value = e.params[0]
            return int(value) if value == int(value) else value
        if kind == "variable" and not e.is_variable:
            raise fault(ArgumentError, f"a variable as {what}", "a formula", self.text, word.start)
        return e

    def integer(self, what: str) -> int:
        sign = -1 if self.takes("-") else 1
        word = self.next()
        if word.kind != "number" or not word.text.isdigit():
            self.refuse(f"an integer as {what}", word)
        return sign * int(word.text)

    # --- Variables -----------------------------------------------------------------------------

    def variable_of(self, word: Token, args: list[int]) -> Expr:
        """Return the variable of "Var(ind, dim, cat)", or of "Vi(ind, dim)" and its kin."""
        what = f"{word.text}(ind, dim)"
        if word.text == "Var":
            what = "Var(ind, dim, cat) of a category 0, 1 or 2"
        axis = AXES[word.text] or "ijp"[args[2]] if args[-1] in (0, 1, 2) or AXES[word.text] else ""
        ind, dim = args[:2]
        if not axis or ind < 0 or dim < 1:
            got = f"{word.text}({', '.join(map(str, args))})"
            raise fault(ArgumentError, what, got, self.text, word.start, len(word.text))
        e = variable(axis, dim, ind)
        other = self.slots.setdefault(ind, e)
        if other is not e:
            names = {v: k for k, v in {**AXES, "Var": "", "Vx": "", "Vy": ""}.items()}
            was = f"{names[other.params[0]]}({ind}, {other.dim})"
            got = f"{names[axis]}({ind}, {dim})"
            raise fault(ArgumentError, f"variable {ind} to be {was}", got, self.text, word.start)
        return e

    def declaration(self, position: int) -> tuple[str, Expr]:
        """Return the name and the variable of a declaration."""
        what = "a variable as 'x = Vi(3)', 'Vj(1, 3)', 'p = Pm(1)' or 'Var(0, 3, 0)'"
        word = self.next()
        name = ""
        if word.kind == "name" and self.takes("="):
            name, word = word.text, self.next()
        if word.text not in AXES:
            self.refuse(what, word, did_you_mean(word.text, AXES))
        self.needs("(")
        args = [self.integer("the number or the dimension of a variable")]
        while self.takes(","):
            args.append(self.integer("the dimension of a variable"))
        self.needs(")")
        if len(args) == 1 and AXES[word.text]:
            args.insert(0, position)
        if len(args) != (2 if AXES[word.text] else 3):
            self.refuse(what, word)
        return name, self.finished(self.variable_of(word, args))
