"""Imports point one way: transport → application → domain; providers and stores beside it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "domain": {"domain"},
    "telemetry": {"telemetry", "domain"},
    "application": {"application", "domain", "telemetry"},
    "providers": {"providers", "application", "domain", "telemetry"},
    "stores": {"stores", "application", "domain"},
    "transport": {"transport", "application", "domain", "telemetry"},
    "settings": {"domain", "providers"},
    "bootstrap": {
        "application",
        "domain",
        "providers",
        "settings",
        "stores",
        "telemetry",
        "transport",
    },
    "commands": {
        "application",
        "bootstrap",
        "commands",
        "domain",
        "providers",
        "settings",
        "stores",
        "transport",
    },
    "__main__": {
        "bootstrap",
        "commands",
        "providers",
        "settings",
        "stores",
        "telemetry",
        "transport",
    },
}
"""What each part of `service` may import of the others."""

TECHNOLOGY = {
    "grpc": {"transport"},
    "google": {"transport"},
    "engagement": {"transport"},
    "httpx": {"providers"},
    "httptools": {"providers"},
    "sqlite3": {"stores"},
    "psycopg": {"stores"},
    "psycopg_pool": {"stores"},
    "cryptography": {"stores"},
}
"""The one part that knows each technology."""

STANDARD_ALONE = "domain"


def _imports(path: Path) -> Iterator[str]:
    """Yield the full name of every module or name that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _part(path: Path) -> str:
    return path.relative_to(ROOT / "service").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", _files("service"), ids=lambda path: str(path.relative_to(ROOT)))
def test_service_imports_point_one_way(path: Path) -> None:
    part = _part(path)
    for name in _imports(path):
        top, _, rest = name.partition(".")
        if top == "service" and part != "__init__":
            assert rest.partition(".")[0] in MAY_IMPORT[part], f"{part} imports {name}"
        assert top not in {"sandbox", "tests", "examples"}, f"{part} imports {name}"
        if top in TECHNOLOGY:
            assert part in TECHNOLOGY[top], f"{part} imports {name}"
        if part == STANDARD_ALONE:
            assert top in {"service", *sys.stdlib_module_names}, f"{part} imports {name}"


@pytest.mark.parametrize("path", _files("sandbox"), ids=lambda path: str(path.relative_to(ROOT)))
def test_sandbox_shares_no_code_with_the_service(path: Path) -> None:
    tops = {name.partition(".")[0] for name in _imports(path)}
    assert not tops & {"service", "engagement", "tests", "examples"}


def test_providers_do_not_know_each_other() -> None:
    vendors = {folder.name for folder in (ROOT / "service/providers").iterdir() if folder.is_dir()}
    for vendor in vendors - {"__pycache__"}:
        for path in _files(f"service/providers/{vendor}"):
            others = vendors - {vendor}
            parts = {name.split(".")[2] for name in _imports(path) if name.count(".") > 2}
            assert not parts & others, f"{path} imports another provider"
