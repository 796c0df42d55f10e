"""The directions in which packages import each other, and what a process may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "stonechat": ROOT / "core/stonechat",
    "stonechat_agent": ROOT / "agent/stonechat_agent",
    "stonechat_collector": ROOT / "collector/stonechat_collector",
    "stonechat_models": ROOT / "models/stonechat_models",
}
MAY_IMPORT = {
    "stonechat": set(),
    "stonechat_agent": {"stonechat", "stonechat_models"},
    "stonechat_collector": {"stonechat", "stonechat_models"},
    "stonechat_models": set(),
}
# What does I/O, reads a clock, draws a random number or starts something. `logging` writes; `time` reads the clock.
IMPURE = {
    "asyncio", "concurrent", "http", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select",
    "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time",
    "urllib", "uuid",
}  # fmt: skip
CORE_NEEDS = {"msgpack"}
CLIENT = (
    PACKAGES["stonechat"] / "client.py"
)  # runs within applications, and is loaded when one of them records


def modules(package: str) -> list[Path]:
    found = sorted(PACKAGES[package].rglob("*.py"))
    assert found, f"{package} has no modules"
    return found


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every absolute import in a file, also of those inside functions."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module


@pytest.mark.parametrize("package", PACKAGES)
def test_each_folder_holds_one_typed_package(package: str) -> None:
    folder = PACKAGES[package]
    assert (folder / "__init__.py").is_file()
    assert (folder / "py.typed").is_file()
    beside = [path.parent.name for path in folder.parent.glob("*/__init__.py")]
    assert beside == [package]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_in_one_direction(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in modules(package)
        for line, name in imports(file)
        if name.split(".")[0] in PACKAGES and name.split(".")[0] not in allowed
    ]
    assert not wrong


def test_core_is_pure() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in modules("stonechat")
        if file != CLIENT
        for line, name in imports(file)
        if name.split(".")[0] in IMPURE
    ]
    assert not wrong


def test_the_client_needs_the_standard_library_alone() -> None:
    assert {name.split(".")[0] for _, name in imports(CLIENT)} <= set(sys.stdlib_module_names)


def test_nothing_of_ours_uses_the_client_but_the_demo_s_application() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for package in PACKAGES
        for file in modules(package)
        for line, name in imports(file)
        if name == "stonechat.client"
        and file
        not in (PACKAGES["stonechat"] / "__init__.py", PACKAGES["stonechat_collector"] / "demo/telling.py")
    ]
    assert not wrong


def test_importing_the_package_loads_no_client() -> None:
    assert not loaded_by("import stonechat") & {"asyncio", "json", "queue", "socket", "threading"}


def test_core_needs_only_what_both_sides_have() -> None:
    allowed = set(sys.stdlib_module_names) | CORE_NEEDS | {"stonechat", "tomli"}
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in modules("stonechat")
        for line, name in imports(file)
        if name.split(".")[0] not in allowed
    ]
    assert not wrong


def loaded_by(statement: str) -> set[str]:
    """Return the top-level names of the modules that a fresh interpreter has after a statement."""
    program = f"import sys\n{statement}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_the_command_itself_loads_nothing_heavy() -> None:
    loaded = loaded_by("import stonechat_agent.cli")
    assert "stonechat_agent" in loaded
    assert not loaded & {
        "asyncio", "fastapi", "httptools", "msgpack", "multiprocessing", "numpy", "onnxruntime", "paho", "psutil",
        "pynvml", "sqlalchemy", "sqlite3", "ssl", "stonechat_collector", "uvicorn",
    }  # fmt: skip


def test_the_agent_loads_neither_numpy_nor_a_web_framework() -> None:
    loaded = loaded_by("import stonechat_agent.daemon")
    assert not loaded & {
        "fastapi", "h11", "httpx", "jinja2", "multiprocessing", "numpy", "onnxruntime", "requests", "sqlalchemy",
        "starlette", "stonechat_collector", "uvicorn", "yaml",
    }  # fmt: skip
