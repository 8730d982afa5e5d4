"""The wheel holds every source file and the package data, at their installed places, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Where each folder lands in an install.
PLACES = {
    "ssl_robot": "ssl_robot",
    "envs": "ssl_robot/envs",
    "datasets": "ssl_robot/datasets",
    "experiments": "ssl_robot/experiments",
}
# What is installed besides Python files.
DATA = ("ssl_robot/py.typed", "ssl_robot/templates/*.html", "datasets/FORMAT.md", "envs/testbed/*.xml")
# What a build reads besides the folders.
BUILD_FILES = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


def expected(tree: Path) -> set[str]:
    """The names a wheel of this tree must hold."""
    sources = {path for folder in PLACES for path in (tree / folder).rglob("*.py")}
    data = {path for pattern in DATA for path in tree.glob(pattern)}
    return {installed(path.relative_to(tree)) for path in sources | data}


def installed(path: Path) -> str:
    """Where a file of the tree lands in an install."""
    folder, *rest = path.parts
    return "/".join([PLACES[folder], *rest])


def compare(tree: Path, wheel: Path) -> list[str]:
    """Every difference between the tree and its wheel as a sentence."""
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = expected(tree)
    return [
        *(f"{name} is missing from the wheel: list its package in setup.cfg" for name in sorted(wanted - packed)),
        *(f"{name} is in the wheel but not among the tree's sources" for name in sorted(packed - wanted)),
    ]


def copy_of_the_tree(place: Path) -> Path:
    """What a build needs, elsewhere: building writes into the tree it builds."""
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in [*PLACES, "tests"]:
        shutil.copytree(ROOT / folder, place / folder, ignore=ignore)
    for name in BUILD_FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, place / name)
    return place


def build(tree: Path, out: Path) -> Path:
    """The wheel of the tree."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, cwd=out.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"the build failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    [wheel] = out.glob("*.whl")
    return wheel


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree that a test may build and change."""
    return copy_of_the_tree(tmp_path / "tree")


def test_the_wheel_holds_the_tree(tree: Path, tmp_path: Path) -> None:
    assert compare(tree, build(tree, tmp_path / "out")) == []


def test_a_folder_that_is_not_listed_is_reported(tree: Path, tmp_path: Path) -> None:
    (tree / "datasets/extra").mkdir()
    (tree / "datasets/extra/thing.py").touch()
    [sentence] = compare(tree, build(tree, tmp_path / "out"))
    assert sentence.startswith("ssl_robot/datasets/extra/thing.py is missing")


@pytest.mark.parametrize("name", ["tests/test_x.py", "ssl_robot/gone.py"])
def test_a_stray_file_is_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / "ssl_robot").mkdir()
    with ZipFile(tmp_path / "stray.whl", "w") as wheel:
        wheel.writestr(name, "")
        wheel.writestr("ssl_robot-0.dist-info/METADATA", "")
    assert compare(tmp_path, tmp_path / "stray.whl") == [f"{name} is in the wheel but not among the tree's sources"]


def test_the_data_is_there() -> None:
    assert {"ssl_robot/py.typed", "ssl_robot/datasets/FORMAT.md", "ssl_robot/envs/testbed/tabletop.xml"} <= expected(
        ROOT
    )
