"""The dependency rules of the architecture, read from the imports of every module of the package."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "fairseq_specdec"
PACKAGE = ROOT.name
BASE = {"clock", "files", "config", "registry", "device", "blocks"}
DECODING = {"rules", "engine", "search", "drafters", "recording", "options", "stats", "certificate"}
DECODING |= {"hypotheses", "beam_certificate", "generator"}

# What each part (a module at the top, or a folder) may import of the others: a whole part, or one module of it by its
# dotted name. What is not listed may not be imported. Parts stand in the order in which they build on one another.
ALLOWED = {
    "prerequisites": set(),
    "clock": set(),
    "files": set(),
    "config": {"files"},
    "registry": set(),
    "device": set(),
    "wording": {"config"},
    "arguments": {"config"},
    "compat": set(),
    "blocks": set(),
    "rules": {"device", "blocks"},
    "engine": BASE | {"rules"},
    "evaluation": {"config"},
    "drafters": BASE | {"engine", "evaluation.text"},
    "search": BASE | {"rules", "engine", "drafters.base", "drafters.suffix"},
    "recording": BASE | {"rules", "engine", "search", "drafters.base"},
    "options": {"config", "registry"},
    "stats": {"clock", "files", "config", "search.state"},
    "certificate": {"config", "rules", "search.ties"},
    "beam_certificate": {"certificate", "options", "rules", "search"},
    "hypotheses": {"options", "search.nbest"},
    "generator": (BASE | DECODING) - {"generator"},
    "training": BASE | DECODING | {"compat", "models.checkpoint"},
    "models": BASE | {"compat", "engine", "drafters", "training"},
    "criterions": {"config", "training"},
    "tasks": BASE | DECODING | {"wording", "compat", "models", "training"},
    "spec_model": BASE | DECODING | {"arguments", "wording", "tasks"},
    "api": BASE | DECODING | {"arguments", "wording", "compat", "models", "tasks", "spec_model"},
    "bench": BASE | DECODING | {"compat", "models", "tasks", "evaluation"},
    "cli": BASE | DECODING | {"prerequisites", "compat", "models", "tasks", "evaluation", "api", "bench"},
    "__init__": {"prerequisites", "compat", "api", "tasks", "models", "criterions"},
}
# What registers with fairseq or faces it; all else sees plain torch modules, tensors and text. training.init fills a
# drafter from a verifier, whose table of positions may be fairseq's sinusoids.
MAY_IMPORT_FAIRSEQ = {
    "beam_certificate",
    "__init__",
    "compat",
    "hypotheses",
    "generator",
    "models",
    "criterions",
    "tasks",
    "spec_model",
    "api",
    "cli",
    "training.init",
}
MAY_IMPORT_FAIRSEQ |= {"arguments", "bench.ctranslate2", "bench.data", "bench.load", "bench.systems"}
ONLY_STANDARD_LIBRARY = {"prerequisites", "clock", "files", "config", "registry", "wording"}


def listed(module: str, table: set[str]) -> bool:
    """Tell whether a module is in a table, by its own name or by its part's."""
    return bool({module, part(module)} & table)


def part(module: str) -> str:
    """Return the part of the table that a module (dotted, below the package) belongs to."""
    return module.split(".")[0]


def imports(source: str, module: str, modules: set[str]) -> set[str]:
    """Return the dotted names that a module imports anywhere, in functions too; those below the package are modules."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} line {node.lineno}: imports are absolute here"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full.removeprefix(PACKAGE + ".") in modules else node.module)
    return found


def read_package() -> dict[str, set[str]]:
    """Return the imports of every module of the package, by dotted name below it."""
    paths = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return {name: imports(path.read_text(encoding="utf-8"), name, set(paths)) for name, path in paths.items()}


IMPORTS = read_package()


def inside(module: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    names = {name for name in IMPORTS[module] if name == PACKAGE or name.startswith(PACKAGE + ".")}
    return {name.removeprefix(PACKAGE + ".") if name != PACKAGE else "__init__" for name in names}


def names_of(module: str) -> set[str]:
    """Return the top-level names that a module imports."""
    return {name.split(".")[0] for name in IMPORTS[module]}


def test_every_part_of_the_package_has_a_row_in_the_table():
    assert {part(module) for module in IMPORTS} <= set(ALLOWED)


@pytest.mark.parametrize("module", IMPORTS)
def test_module_imports_only_what_the_table_allows(module):
    others = {name for name in inside(module) if part(name) != part(module)}
    forbidden = sorted(name for name in others if not listed(name, ALLOWED[part(module)]))
    assert not forbidden, f"{module} imports {forbidden}; {part(module)} may import {sorted(ALLOWED[part(module)])}"


@pytest.mark.parametrize("module", [name for name in IMPORTS if not listed(name, MAY_IMPORT_FAIRSEQ)])
def test_module_that_does_not_face_fairseq_does_not_import_it(module):
    assert not names_of(module) & {"fairseq", "fairseq_cli", "omegaconf", "hydra"}


def test_options_and_registry_need_the_standard_library_only():
    assert not set.union(*(names_of(module) for module in ONLY_STANDARD_LIBRARY)) & {"torch", "numpy"}


def test_drafters_never_import_the_search_or_the_generator():
    assert not {"search", "recording", "generator"} & ALLOWED["drafters"]


def test_evaluation_works_on_text_and_needs_no_torch():
    for module in (name for name in IMPORTS if part(name) == "evaluation"):
        assert "torch" not in names_of(module)


def test_no_module_imports_itself_in_a_circle():
    graph = {module: inside(module) - {module} for module in IMPORTS if module != "__init__"}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError with the circle


def test_imports_are_found_in_functions_and_resolved_to_modules():
    source = (
        "import torch\nfrom fairseq_specdec.blocks import A\ndef f():\n    from fairseq_specdec.engine import weights"
    )
    found = imports(source, "x", {"engine", "engine.weights", "blocks"})
    assert found == {"torch", "fairseq_specdec.engine.weights", "fairseq_specdec.blocks"}
