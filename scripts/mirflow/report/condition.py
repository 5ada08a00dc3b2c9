"""The language of conditions on tracks: ``bpm > 120 and tonic_scale == "minor"``. docs/report.md describes it.

A condition is parsed by Python, and only what is listed here is understood: nothing of it is ever executed.
"""

import ast
import difflib
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mirflow.core.errors import MirflowError

Row = Mapping[str, Any]  # key → number, text, truth value, or None
LONGEST = 10_000  # characters
WORDS = {"null": None, "true": True, "false": False}
ORDER = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}


@dataclass(frozen=True)
class Condition:
    """A condition that can be asked of the row of a track.

    Attributes
    ----------
    text : as it was written
    keys : that it names
    holds : row → whether it holds
    """

    text: str
    keys: frozenset[str]
    holds: Callable[[Row], bool]


def parse(text: str, known: Collection[str]) -> Condition:
    """Parse a condition.

    Parameters
    ----------
    known : keys that rows may have

    Raises
    ------
    MirflowError : it is no condition, or names an unknown key
    """
    if len(text) > LONGEST:
        raise MirflowError(f"the condition has more than {LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        parser = _Parser(known)
        value = parser.value(tree.body)
    except SyntaxError as error:
        raise MirflowError(f"{text!r}: no condition ({error.msg}, column {error.offset})") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise MirflowError("no condition: it is nested too deeply, or holds a null character") from error
    return Condition(text, frozenset(parser.keys), lambda row: bool(value(row)))


class _Parser:
    """Turns a syntax tree into a function of a row."""

    def __init__(self, known: Collection[str]) -> None:
        self.known = set(known)
        self.keys: set[str] = set()

    def value(self, node: ast.AST) -> Callable[[Row], Any]:
        match node:
            case ast.BoolOp(op=ast.And(), values=parts):
                conditions = [self.value(part) for part in parts]
                return lambda row: all(one(row) for one in conditions)
            case ast.BoolOp(op=ast.Or(), values=parts):
                conditions = [self.value(part) for part in parts]
                return lambda row: any(one(row) for one in conditions)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                condition = self.value(operand)
                return lambda row: not condition(row)
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                return self._comparison([left, *comparators], ops)
            case ast.Call(func=ast.Name(id="key"), args=[ast.Constant(value=str(name))], keywords=[]):
                return self._key(name)
            case ast.Name(id=name):
                return self._constant(WORDS[name]) if name in WORDS else self._key(name)
            case _:
                return self._constant(self._literal(node))

    def _literal(self, node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=None | bool() | int() | float() | str()):
                return node.value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)) if not isinstance(
                number, bool
            ):
                return -number
            case ast.Name(id=name) if name in WORDS:
                return WORDS[name]
        part = ast.unparse(node)
        raise MirflowError(
            f"{part}: not a part of a condition: keys, numbers, texts in quotes, comparisons, and or not"
        )

    @staticmethod
    def _constant(value: Any) -> Callable[[Row], Any]:
        return lambda row: value

    def _key(self, name: str) -> Callable[[Row], Any]:
        if name not in self.known:
            near = difflib.get_close_matches(name, self.known, n=1)
            raise MirflowError(f"{name}: no track has such a key{f' (did you mean {near[0]}?)' if near else ''}")
        self.keys.add(name)
        return lambda row: row.get(name)

    def _comparison(self, operands: list[ast.AST], ops: list[ast.cmpop]) -> Callable[[Row], bool]:
        """Compare neighbours, all of which must agree: ``100 < bpm < 120``."""
        parts = [self._pair(*pair) for pair in zip(operands, ops, operands[1:], strict=False)]
        return lambda row: all(part(row) for part in parts)

    def _pair(self, one: ast.AST, op: ast.cmpop, two: ast.AST) -> Callable[[Row], bool]:
        if isinstance(op, ast.Is | ast.IsNot):
            raise MirflowError("is: compare with == and !=")
        if isinstance(op, ast.In | ast.NotIn):
            is_list = isinstance(two, ast.List | ast.Tuple)
            right = self._constant([self._literal(part) for part in two.elts]) if is_list else self.value(two)
        else:
            right = self.value(two)
        left = self.value(one)
        if any(isinstance(side, ast.Name) and side.id == "null" for side in (one, two)):
            other = right if isinstance(one, ast.Name) and one.id == "null" else left
            if isinstance(op, ast.Eq | ast.NotEq):
                return lambda row: (other(row) is None) == isinstance(op, ast.Eq)
        return lambda row: _compare(op, left(row), right(row))


def _compare(op: ast.cmpop, one: Any, two: Any) -> bool:
    """Compare two values. With null, and of a text with a number in their order, every comparison is false."""
    if one is None or two is None:
        return False
    if isinstance(op, ast.In | ast.NotIn):
        return _is_in(one, two) == isinstance(op, ast.In)
    if isinstance(op, ast.Eq | ast.NotEq):
        return (one == two) == isinstance(op, ast.Eq)
    return isinstance(one, str) == isinstance(two, str) and ORDER[type(op)](one, two)


def _is_in(one: Any, two: Any) -> bool:
    """Whether a list has this value, or a text contains this text in upper or lower case."""
    if isinstance(two, list):
        return one in two
    return isinstance(one, str) and isinstance(two, str) and one.lower() in two.lower()
