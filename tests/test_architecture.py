"""ARCHITECTURE.md against the code."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
#: More lines, and more methods of a class, are more than one thing.
FILE_LINES, FUNCTION_LINES, METHODS = 330, 60, 30
#: As many as there are: `Any` in the package, and looks of tests into the inside of an object.
ANY, LOOKS_INSIDE = 60, 5
#: Begin with an underscore, and are for everybody: of a named tuple, and of `os`.
PUBLIC = {"_replace", "_exit"}


@cache
def files() -> dict[str, ast.Module]:
    """The package's files by module name."""
    found = {}
    for path in (ROOT / "streaming").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text("utf-8"))
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    """The package's files that a file imports: also within functions, or for types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in files())
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for each in node.names:
                name = f"{node.module}.{each.name}"
                if name in files():
                    yield name
                elif node.module in files():
                    yield node.module


def length(node: ast.AST) -> int:
    assert isinstance(node, ast.stmt)
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_no_two_files_import_each_other_by_whatever_way() -> None:
    graph = {name: set(imported(tree)) - {name} for name, tree in files().items()}

    assert sum(map(len, graph.values())) > len(graph)
    TopologicalSorter(graph).prepare()  # CycleError names them


def test_files_functions_and_classes_are_no_longer_than_one_can_keep_in_mind() -> None:
    long = []
    for name, tree in files().items():
        lines = tree.body[-1].end_lineno or 0 if tree.body else 0
        if lines > FILE_LINES and name != "streaming.config":  # a setting is a paragraph
            long.append(f"{name}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if length(node) > FUNCTION_LINES:
                    long.append(f"{name}.{node.name}: {length(node)} lines")
            elif isinstance(node, ast.ClassDef):
                methods = sum(isinstance(each, ast.FunctionDef) for each in node.body)
                if methods > METHODS:
                    long.append(f"{name}.{node.name}: {methods} methods")

    assert long == []


def test_no_more_is_of_any_type_than_has_to_be() -> None:
    uses = Counter(
        name
        for name, tree in files().items()
        for node in ast.walk(tree)
        if "Any" in (getattr(node, "id", ""), getattr(node, "attr", ""))
    )

    assert uses.total() <= ANY, uses


def test_tests_look_at_what_is_public() -> None:
    paths = [path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts]
    texts = [path.read_text("utf-8") for path in paths]
    # To parse them all takes seconds.
    suspects = [text for text in texts if re.search(r"(?<!\bself)(?<!\bcls)\._[a-z]", text)]
    inside = [
        ast.unparse(node)
        for text in suspects
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
        and re.match(r"_(?!_)", node.attr)
        and node.attr not in PUBLIC
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    ]

    assert len(inside) <= LOOKS_INSIDE, inside


def test_every_room_says_what_is_in_it() -> None:
    rooms = {name.split(".")[1] for name in files() if "." in name}
    table = ARCHITECTURE.partition("| room | what is in it |")[2].partition("\n\n")[0]
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.+?) \|", table, re.MULTILINE))))

    assert told == rooms


def test_the_drawing_has_the_floors_that_are_checked() -> None:
    drawn = re.findall(r"^\d (.+)$", ARCHITECTURE, re.MULTILINE)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]

    assert drawn == contracts["contracts"][0]["layers"]


def test_it_opens_with_a_drawing() -> None:
    opening = ARCHITECTURE.partition("\n## ")[0]

    assert "```mermaid\nflowchart" in opening


def test_every_drawn_message_is_between_participants() -> None:
    drawings = re.findall(r"```mermaid\nsequenceDiagram\n(.*?)```", ARCHITECTURE, re.DOTALL)

    assert len(drawings) == 4
    for drawing in drawings:
        participants = set(re.findall(r"participant (\w+) as ", drawing))
        ends = re.findall(r"^ *(\w+) *-?->>? *(\w+):", drawing, re.MULTILINE)
        assert len(ends) > 5
        assert {name for each in ends for name in each} == participants
        opened = re.findall(r"^ *(?:opt|alt|loop) ", drawing, re.MULTILINE)
        assert len(opened) == len(re.findall(r"^ *end$", drawing, re.MULTILINE))


def test_each_oddity_is_cited_where_it_lives() -> None:
    listed = ARCHITECTURE.partition("## Deliberate oddities")[2]
    numbers = set(re.findall(r"^(\d+)\. ", listed, re.MULTILINE))

    cited: set[str] = set()
    for path in (ROOT / "streaming").rglob("*.py"):
        for found in re.findall(r"oddit(?:y|ies) (\d+(?: and \d+)?)", path.read_text("utf-8")):
            cited |= set(re.findall(r"\d+", found))

    assert numbers
    assert cited == numbers


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"(?:`|as |: )(?:streaming/)?([a-z_]+/[a-z_/]+\.py)", ARCHITECTURE))

    assert named
    for name in named:
        assert any((place / name).exists() for place in (ROOT / "streaming", ROOT)), name


def test_the_words_of_the_code_name_something_in_it() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    words = re.findall(r"^\| (\w+) \|", glossary.partition("## Inside the code")[2], re.MULTILINE)
    names = set(re.findall(r"[a-z]+", " ".join(files())))
    for tree in files().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names |= {part.lower() for part in re.findall(r"[A-Z]?[a-z]+", node.name)}

    assert len(words) > 10
    assert [word for word in words if not {word, f"{word}s"} & names] == []


def test_a_submission_goes_from_hop_to_hop() -> None:
    table = ARCHITECTURE.partition("## A submission's way\n")[2].partition("\n## ")[0]
    hops = re.findall(r"^\| [\d']+ \| (.+?) \|", table, re.MULTILINE)
    called = {"submit_job"}

    for hop in hops:
        for path, functions in re.findall(r"`([a-z_/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", hop):
            for name in re.findall(r"`([\w.]+)`", functions):
                function = found(path, name)
                assert function.name in called, f"nothing before it calls {name} of {path}"
                called |= {
                    node.attr if isinstance(node, ast.Attribute) else node.id
                    for node in ast.walk(function)
                    if isinstance(node, ast.Attribute | ast.Name)
                }
    assert len(hops) > 5


def found(path: str, name: str) -> ast.FunctionDef:
    """A function, or a class's method, of a file of the package."""
    place: ast.AST = files()["streaming." + path.removesuffix(".py").replace("/", ".")]
    *owner, function = name.split(".")
    for each in owner:
        [place] = [n for n in ast.walk(place) if isinstance(n, ast.ClassDef) and n.name == each]
    [node] = [
        each
        for each in ast.walk(place)
        if isinstance(each, ast.FunctionDef) and each.name == function
    ]
    return node
