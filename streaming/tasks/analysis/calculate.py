"""A calculator for text that people and models write: numbers, signs, some functions."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import TypeAlias

from streaming.concurrency.expressions import parse_expression

#: Characters of an expression, and the largest exponent.
MAX_LENGTH, MAX_POWER = 200, 1000

#: What an expression may come to on the way.
Value: TypeAlias = int | float | complex

_BINARY: Mapping[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "abs": abs,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
    "log": math.log,
    "exp": math.exp,
}
_DAY = re.compile(r"today|\d{4}-\d{2}-\d{2}")


def calculate(expression: str) -> float:
    """The value; `ValueError` says what is wrong with the expression."""
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"an expression has at most {MAX_LENGTH} characters")
    text = expression.replace("^", "**").replace("×", "*").replace("÷", "/").replace("−", "-")
    try:
        value = _value(parse_expression(text.strip()))
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{expression!r} is no expression") from None
    except (ZeroDivisionError, OverflowError, TypeError) as error:
        raise ValueError(f"{expression!r}: {error}") from None
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError(f"{expression!r} has no finite value")
    return value


def _value(node: ast.expr) -> Value:
    if isinstance(node, ast.Constant) and (type(node.value) is int or type(node.value) is float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return -_value(node.operand) if isinstance(node.op, ast.USub) else _value(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _power(_value(node.left), _value(node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id in _FUNCTIONS:
            return _FUNCTIONS[node.func.id](*map(_value, node.args))
        raise ValueError(
            f"there is no function {node.func.id!r}; there are {', '.join(_FUNCTIONS)}"
        )
    raise ValueError(f"{ast.unparse(node)!r} is nothing to calculate with")


def _power(base: Value, exponent: Value) -> Value:
    if abs(exponent) > MAX_POWER or abs(base) > 1e100:
        raise ValueError("the power is too large")
    return base**exponent


def days(expression: str, *, today: date) -> str:
    """`today`, a day ± so many days, or the days between two days. ISO dates; `ValueError`."""
    found = [
        today if day == "today" else date.fromisoformat(day) for day in _DAY.findall(expression)
    ]
    shift = re.search(r"([+-])\s*(\d{1,6})\s*days?", expression)
    if len(found) == 2:
        return f"{(found[1] - found[0]).days} days"
    if len(found) == 1 and shift:
        return (found[0] + timedelta(days=int(shift[1] + shift[2]))).isoformat()
    if len(found) == 1:
        return found[0].isoformat()
    raise ValueError("give a day (2024-03-31 or today), a day + so many days, or two days")
