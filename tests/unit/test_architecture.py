"""ARCHITECTURE.md says which room may import which; every import in the code is held against its tables."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("simulator", "reference_service")
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

# Third-party libraries that may only be imported here (module prefixes).
CONFINED = {
    "lightgbm": ("reference_service.training",),
    "numba": ("reference_service.core",),
    "httptools": ("reference_service.server",),
    "grpc": ("reference_service.rpc",),
    "google": ("reference_service.rpc",),
    "uvloop": ("reference_service.commands",),
    "pytest": ("simulator.pytest_plugin",),
    "locust": ("simulator.locustfile",),
}


class Import(NamedTuple):
    """One module uses another; `top` says that it does so while it is itself being imported."""

    user: str
    used: str
    top: bool


def modules() -> dict[str, Path]:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


def imports_of(name: str, source: str, known: frozenset[str]) -> list[Import]:
    """What `source` imports; ``from package import module`` is an import of the module."""
    found: list[Import] = []

    def visit(node: ast.AST, *, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend(Import(name, alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{name} uses a relative import, which hides where it leads"
                for alias in child.names:
                    deeper = f"{child.module}.{alias.name}"
                    found.append(Import(name, deeper if deeper in known else str(child.module), top))
            lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _for_types(child)
            visit(child, top=top and not lazy)

    visit(ast.parse(source), top=True)
    return found


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def room(module: str) -> tuple[str, str]:
    package, _, rest = module.partition(".")
    return package, rest.partition(".")[0]


def table(heading: str) -> dict[str, set[str]]:
    """Room → rooms that it may import, as the page has them under a heading."""
    body = PAGE.split(f"### {heading}\n", 1)[1].split("\n### ", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", body, flags=re.MULTILINE)
    assert rows, f"no table under {heading}"
    assert len({name for name, _ in rows}) == len(rows), f"a room stands twice under {heading}"
    return {name: set(re.findall(r"`(\w+)`", may)) for name, may in rows}


MODULES = modules()
IMPORTS = [
    one for name, path in MODULES.items() for one in imports_of(name, path.read_text("utf-8"), frozenset(MODULES))
]
RULES = {package: table(package) for package in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_names_every_room_and_no_other(package):
    there = {room(name)[1] for name in MODULES if room(name)[0] == package} - {""}
    assert set(RULES[package]) == there
    assert set().union(*RULES[package].values()) <= there


def test_rooms_import_only_what_the_page_allows_them():
    breaches = set()
    for user, used, _ in IMPORTS:
        (package, mine), (other, theirs) = room(user), room(used)
        if package == other and theirs not in {"", mine, *RULES[package].get(mine, ())} and mine:
            breaches.add((user, used))
    assert breaches == set(), "not allowed by ARCHITECTURE.md"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_allows_nothing_that_no_room_needs(package):
    """A permission that is not used is a door left open."""
    there = {(room(user)[1], room(used)[1]) for user, used, _ in IMPORTS if {room(user)[0], room(used)[0]} == {package}}
    assert {(mine, theirs) for mine, may in RULES[package].items() for theirs in may} - there == set()


def test_harness_and_reference_service_do_not_know_each_other():
    strangers = [(user, used) for user, used, _ in IMPORTS if room(used)[0] in {*PACKAGES} - {room(user)[0]}]
    assert strangers == []


def test_nothing_that_ships_imports_what_stands_beside_it():
    beside = {"scenarios", "tests", "benchmarks", "seatrial"}
    assert [(user, used) for user, used, _ in IMPORTS if room(used)[0] in beside] == []


def test_what_serves_does_not_import_what_trains():
    trained = [user for user, used, _ in IMPORTS if used.startswith("reference_service.training")]
    # The command that retrains is a process of its own, and imports nothing that serves but the registry. The service
    # that retrains in its own process is for rehearsals, and nothing imports it.
    assert {user for user in trained if room(user)[1] not in {"training", "retraining"}} == {
        "reference_service.commands.retrain"
    }


def test_no_module_imports_itself_around_a_corner():
    graph = {name: {used for user, used, _ in IMPORTS if user == name and used in MODULES} for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle: {' → '.join(error.args[1])}")


def test_the_rules_of_the_harness_themselves_lead_one_way():
    TopologicalSorter(RULES["simulator"]).prepare()


@pytest.mark.parametrize("library", CONFINED)
def test_heavy_libraries_stay_in_their_rooms(library):
    users = [user for user, used, _ in IMPORTS if used.partition(".")[0] == library]
    assert [user for user in users if not user.startswith(CONFINED[library])] == []


def test_the_reader_of_imports_sees_what_it_must():
    source = "import a.b\nfrom pkg import mod, name\nif TYPE_CHECKING:\n    import t\ndef f():\n    import lazy\n"
    assert imports_of("m", source, frozenset({"pkg.mod"})) == [
        Import("m", "a.b", top=True),
        Import("m", "pkg.mod", top=True),
        Import("m", "pkg", top=True),
        Import("m", "t", top=False),
        Import("m", "lazy", top=False),
    ]
