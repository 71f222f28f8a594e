"""The arrows of the house, read from the source's own import statements (docs/architecture.md draws them)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = {"twohop": "shared", "twohop_service": "shared", "embedding_service": ".", "head_service": "."}

MAY_IMPORT = {
    "twohop": set(),
    "twohop_service": {"twohop"},
    "embedding_service": {"twohop", "twohop_service"},
    "head_service": {"twohop", "twohop_service"},
}
BASE_DEPENDENCIES = {"click", "google", "grpc", "numpy"}

# Inside a service a layer knows only those before it, and none knows what stands on top (cli, settings, app, tools).
LAYERS = {"embedding_service": ["model", "serving", "fronts"], "head_service": ["repository"]}
# What is done with heads outside production, one after the other: each knows only those before it.
OFFLINE = ["head_service.training", "head_service.evaluation", "head_service.drift"]
# What runs in production knows the folder of head versions, and nothing of how they were made.
RUNTIME = ["head_service.gateway", "head_service.model_server"]
PROTOCOLS = {"grpc", "grpc_health", "grpc_reflection", "fastapi", "starlette", "uvicorn", "zmq", "twohop.wire", "twohop.status"}

# The one leaf of each heavy library (a name that ends in a dot: a package of leaves, one file per kind).
LEAVES = {
    "openvino": ("embedding_service.tools.bench.openvino_gemm", "embedding_service.model.openvino_engine",
                 "embedding_service.model.openvino_graph"),
    "torch": ("embedding_service.tools.bench.torch_gemm",
              *tuple(f"embedding_service.model.torch_{part}" for part in ("engine", "forward", "device"))),
    "pyarrow": ("embedding_service.tools.parquet",),
    "matplotlib": ("embedding_service.tools.bench.picture",),
    "keras": (),        # heads are plain TensorFlow
    "tensorflow": ("head_service.training.heads.", "head_service.training.export", "head_service.model_server.session"),
}

MAX_LINES = 320
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "handler", "misc"}

COMMANDS = {
    "twohop.cli": ["classify", "embed", "status"],
    "embedding_service.cli": ["serve", "encode", "convert", "fingerprint", "bench"],
    "head_service.cli": ["train", "evaluate", "versions", "promote", "rollback", "prune", "drift", "serve", "gateway"],
}
HEAVY = ["openvino", "tensorflow", "keras", "torch", "pyarrow", "sklearn", "grpc", "numpy", "fastapi", "uvicorn"]


@dataclass(frozen=True)
class Import:
    """One imported thing of one module: the longest dotted name that is a module of the house, else as written."""

    by: str
    target: str
    line: int
    at_start: bool          # runs when the module is imported: neither inside a function nor for the type checker only

    def __str__(self) -> str:
        return f"{self.by}:{self.line} imports {self.target}"

    def reaches(self, name: str) -> bool:
        return self.target == name or self.target.startswith(name + ".")


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, without the generated wire code."""
    found = {}
    for package, folder in HOUSE.items():
        for path in sorted((ROOT / folder / package).rglob("*.py")):
            if path.parent.name == "wire":
                continue
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> list[Import]:
    return [each for name, path in modules().items() for each in _imports_of(name, path)]


def _imports_of(name: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text("utf-8"), str(path))
    lazy = {id(inner) for node in ast.walk(tree) if _runs_later(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        for target in _targets(name, path, node):
            yield Import(name, target, getattr(node, "lineno", 0), id(node) not in lazy)


def _runs_later(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.dump(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _targets(name: str, path: Path, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        source = node.module or ""
        if node.level:
            package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            kept = package[: len(package) - node.level + 1]
            source = ".".join([*kept, source]) if source else ".".join(kept)
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            yield inner if inner in modules() else source


def wrong(found: Iterator[Import]) -> list[str]:
    return [str(each) for each in found]


def test_services_meet_only_on_the_wire() -> None:
    def sideways() -> Iterator[Import]:
        for each in imports():
            by, target = each.by.split(".")[0], each.target.split(".")[0]
            if target in HOUSE and target != by and target not in MAY_IMPORT[by]:
                yield each

    assert wrong(sideways()) == []


@pytest.mark.parametrize("folder", ["shared", "deploy", "loadtest", "tests"])
def test_no_package_imports_a_folder_of_the_repository(folder: str) -> None:
    """Installed, there is no such folder; and `shared.twohop` would be a second copy of every error class."""
    assert wrong(each for each in imports() if each.reaches(folder)) == []


def test_the_light_client_needs_nothing_beyond_its_base_dependencies() -> None:
    allowed = BASE_DEPENDENCIES | set(sys.stdlib_module_names) | {"twohop"}
    of_client = [each for each in imports() if each.by.split(".")[0] == "twohop"]
    assert wrong(each for each in of_client if each.target.split(".")[0] not in allowed) == []


def test_training_knows_nothing_of_evaluation_nor_that_of_drift() -> None:
    def backwards() -> Iterator[Import]:
        for position, room in enumerate(OFFLINE):
            for each in imports():
                if each.by.startswith(room) and any(each.reaches(later) for later in OFFLINE[position + 1 :]):
                    yield each

    assert wrong(backwards()) == []


@pytest.mark.parametrize("service", LAYERS)
def test_inside_a_service_no_layer_knows_a_later_one(service: str) -> None:
    layers = LAYERS[service]
    direct = [name for name in modules() if name.startswith(f"{service}.") and name.count(".") == 1]
    tops = [name for name in direct if name.split(".")[1] not in layers]

    def backwards() -> Iterator[Import]:
        for position, layer in enumerate(layers):
            later = [f"{service}.{name}" for name in layers[position + 1 :]]
            for each in imports():
                if each.by.startswith(f"{service}.{layer}") and any(each.reaches(name) for name in [*later, *tops]):
                    yield each

    assert wrong(backwards()) == []


@pytest.mark.parametrize("layer", ["embedding_service.model", "embedding_service.serving"])
def test_encoder_and_queue_know_no_protocol(layer: str) -> None:
    assert wrong(each for each in imports() if each.by.startswith(layer) and any(map(each.reaches, PROTOCOLS))) == []


@pytest.mark.parametrize("process", RUNTIME)
def test_gateway_and_model_server_know_of_their_service_only_the_repository(process: str) -> None:
    def beyond() -> Iterator[Import]:
        for each in imports():
            allowed = each.reaches(process) or each.reaches("head_service.repository")
            if each.by.startswith(process) and each.reaches("head_service") and not allowed:
                yield each

    assert wrong(beyond()) == []


@pytest.mark.parametrize("library", LEAVES)
def test_each_heavy_library_lives_in_its_leaf(library: str) -> None:
    def is_leaf(name: str) -> bool:
        return any(name == leaf or (leaf.endswith(".") and name.startswith(leaf)) for leaf in LEAVES[library])

    assert wrong(each for each in imports() if each.reaches(library) and not is_leaf(each.by)) == []


def test_modules_import_each_other_without_a_cycle() -> None:
    edges: dict[str, set[str]] = {name: set() for name in modules()}
    for each in imports():
        if each.at_start and each.target in edges and each.target != each.by:
            edges[each.by].add(each.target)
    while free := {name for name, targets in edges.items() if not targets}:
        edges = {name: targets - free for name, targets in edges.items() if name not in free}
    assert edges == {}, "these import each other, or lead into those that do"


def test_every_module_is_small_enough_to_read_in_one_sitting() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in modules().items()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_every_file_says_its_one_job_in_its_name() -> None:
    assert [name for name in modules() if set(name.split(".")[-1].split("_")) & VAGUE_NAMES] == []


@pytest.mark.parametrize("cli", COMMANDS)
def test_help_of_every_command_loads_nothing_heavy(cli: str) -> None:
    program = f"""
import contextlib, importlib, io, sys
main = importlib.import_module({cli!r}).main
for arguments in ([], {", ".join(repr([name]) for name in COMMANDS[cli])}):
    sys.argv = ["program", *arguments, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            main()
        except SystemExit as end:
            assert not end.code, (arguments, end.code)
    assert "sage" in said.getvalue(), arguments
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
