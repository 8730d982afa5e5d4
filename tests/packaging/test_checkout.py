"""A checkout imports like an install, and its folder `datasets` hides nobody's package."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import ssl_robot

ROOT = Path(__file__).resolve().parents[2]


def python(code: str) -> str:
    """What a fresh interpreter prints, started at the checkout's root, which is then first on its path."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def has_hugging_face() -> bool:
    """Whether their `datasets` is installed: asked of the metadata, since our folder would answer an import."""
    try:
        return bool(version("datasets"))
    except PackageNotFoundError:
        return False


needs_hugging_face = pytest.mark.skipif(
    not has_hugging_face(), reason="Hugging Face's datasets is not installed: pip install datasets"
)


@needs_hugging_face
def test_datasets_is_hugging_faces() -> None:
    place = python("import datasets; print(datasets.__file__, callable(datasets.load_dataset))")
    assert place.endswith("datasets/__init__.py True")
    assert not place.startswith(f"{ROOT}/datasets")


@needs_hugging_face
def test_both_datasets_live_in_one_process() -> None:
    code = (
        "import ssl_robot.datasets.store as ours, datasets as theirs; print(ours.__name__, theirs.__file__ is not None)"
    )
    assert python(code) == "ssl_robot.datasets.store True"


def test_ssl_robot_datasets_is_the_checkouts() -> None:
    assert python("import ssl_robot.datasets.store as s; print(s.__file__)") == str(ROOT / "datasets/store.py")


@pytest.mark.parametrize("folder", ["envs", "datasets", "experiments"])
def test_the_folders_stay_without_init(folder: str) -> None:
    """With one, the folder would be a package of that name for everyone who stands at the root."""
    assert list((ROOT / folder).rglob("__init__.py")) == []


def test_importing_the_package_loads_no_torch() -> None:
    assert python("import sys, ssl_robot; print('torch' in sys.modules, ssl_robot.__version__)").startswith("False ")


@pytest.mark.parametrize("name", ssl_robot.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(ssl_robot)
    assert getattr(ssl_robot, name) is getattr(ssl_robot, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        ssl_robot.nonsense  # noqa: B018
