"""Who may import whom: walks every import of the tree and guards the one-way layers.

A new module of the library is added to `LEVELS`: that is the moment to decide where it stands.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The top-level folders, and whose modules each may import.
FOLDERS = {
    "ssl_robot": {"ssl_robot"},
    "envs": {"ssl_robot", "envs"},
    "datasets": {"ssl_robot", "datasets"},
    "experiments": {"ssl_robot", "envs", "datasets", "experiments"},
    "tests": {"ssl_robot", "envs", "datasets", "experiments", "tests"},
}

# The library from the bottom up: a module imports from the levels below its own.
LEVELS = (
    ("errors",),
    (
        "frames",
        "probing",
        "auditing",
        "config",
        "catalogue",
        "random",
        "sampling",
        "statistics",
        "probing.resampling",
        "checkpoints",
        "interrupts",
        "distributed",
        "workers",
        "cluster",
        "heap",
        "ranges",
        "hub",
        "tensors",
        "probing.rotations",
        "reporting",
    ),
    ("heads", "arena", "segments", "layers", "thinned", "probing.quantities"),
    ("contrast", "teacher", "probing.precision"),
    ("backbones", "invariances", "splits", "records", "collection", "arrays"),
    ("encoder", "recipes", "probing.regression", "probing.classes", "probing.examination"),
    ("look", "methods", "features", "weights", "readers", "pixels", "probing.learned", "probing.detector"),
    ("views", "training", "baselines", "cache", "portable"),
    ("probing.moments", "probing.rollouts"),
    ("probing.cloning", "probing.trials"),
    ("monitors", "online", "probes", "remedies", "plugins", "loader"),
    ("auditing.design", "auditing.questions", "exports"),
    ("auditing.verdicts", "projection"),
    ("auditing.potential", "plots", "contact", "capacity"),
    ("feed",),
    ("run",),
    ("pretrain",),
    ("auditing.runs",),
    ("auditing.bystanders", "auditing.pairs", "auditing.remedy"),
    ("reporting.units",),
    ("reporting.comparison",),
    ("audit", "reporting.differences"),
    ("reporting.words", "reporting.record", "reporting.views"),
    ("reporting.tables", "reporting.answer"),
    ("reporting.mechanism", "reporting.overall"),
    ("reporting.figures",),
    ("reporting.gallery",),
    ("report",),
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def room(module: list[str]) -> str:
    """Where a module of the library stands: by itself, with its package, or alone within its package."""
    alone = ".".join(module[1:3])
    return alone if alone in LEVEL else module[1]


# The files that know how frames lie in our HDF5 files; importers and exporters know those of others.
STORE = (
    *("datasets/layout.py", "datasets/store.py", "datasets/writer.py", "datasets/demo.py", "datasets/features.py"),
    "datasets/hdf5.py",
)
OTHERS = ("datasets/importers/", "datasets/exporters/", "experiments/interop/", "experiments/benchmarks/")


@dataclass(frozen=True)
class Import:
    """One import: the file that has it, and the full name of the module it asks for."""

    file: str
    line: int
    target: str

    @property
    def folder(self) -> str:
        """The top-level folder of the importing file."""
        return self.file.split("/")[0]


def dotted(file: str) -> str:
    """The module a file is: ssl_robot/methods/simsiam.py -> ssl_robot.methods.simsiam."""
    name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"ssl_robot.{name}" if name.split(".")[0] in {"envs", "datasets", "experiments"} else name


def python_files(root: Path) -> list[str]:
    """Every Python file of the folders, relative to the root."""
    return [path.relative_to(root).as_posix() for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]


def imports(root: Path) -> Iterator[Import]:
    """Every import of every file, those inside functions too."""
    files = python_files(root)
    modules = {dotted(file) for file in files}
    for file in files:
        for node in ast.walk(ast.parse((root / file).read_text(encoding="utf-8"), file)):
            if isinstance(node, ast.Import):
                yield from (Import(file, node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                for alias in node.names:
                    full = f"{module}.{alias.name}"
                    # `from a.b import c` asks for a.b.c where that is a module; names of the facade stay whole.
                    yield Import(file, node.lineno, full if full in modules or module == "ssl_robot" else module)


def owner(target: str) -> str:
    """The top-level folder of ours that a module lies in, or nothing for what is not ours."""
    first, second, *_ = [*target.split("."), ""]
    if first == "ssl_robot":
        return second if second in FOLDERS else first
    # `datasets` alone is Hugging Face's package; `envs` or `experiments` alone can only be a slip.
    return first if first in FOLDERS and first != "datasets" else ""


def relative(found: Import) -> str:
    """Absolute imports only."""
    return "imports by a relative name: write the full one" if found.target.startswith(".") else ""


def outward(found: Import) -> str:
    """`ssl_robot` stands alone, `envs` and `datasets` do not know each other, nobody imports tests."""
    target = owner(found.target)
    if target and target not in FOLDERS[found.folder]:
        return f"imports {found.target}: {found.folder}/ may not import {target}/"
    if target in {"envs", "experiments"} and not found.target.startswith("ssl_robot."):
        return f"imports {found.target}: its full name is ssl_robot.{found.target}"
    return ""


def storage(found: Import) -> str:
    """One file knows the file format; tests may look behind it."""
    allowed = found.file in STORE or found.file.startswith(OTHERS) or found.folder == "tests"
    if found.target.split(".")[0] == "h5py" and not allowed:
        return f"imports h5py: only {' and '.join(STORE)} do, go through them"
    return ""


def upward(found: Import) -> str:
    """Inside the library imports go down; the files of a package share its base, not each other."""
    own, target = dotted(found.file).split("."), found.target.split(".")
    inside = found.folder == owner(found.target) == "ssl_robot"
    # The package's own __init__ is the facade: it names what lies above everything.
    if not inside or len(own) == 1 or room(own) not in LEVEL or found.target == "ssl_robot.__version__":
        return ""
    if len(target) == 1 or room(target) not in LEVEL:
        return f"imports {found.target}: import from the module that defines it, and list that in LEVELS"
    if room(own) == room(target):
        return f"imports {found.target}, a file of its own package" if len(target) > 2 else ""
    if LEVEL[room(target)] >= LEVEL[room(own)]:
        return f"imports {found.target}: {room(own)} does not stand above {room(target)}"
    return ""


def unplaced(root: Path) -> Iterator[str]:
    """The library's modules that the table forgot."""
    names = [dotted(file).split(".") for file in python_files(root) if file.startswith("ssl_robot/")]
    for part in sorted({room(name) for name in names if len(name) > 1} - LEVEL.keys()):
        yield f"ssl_robot.{part} has no place among the layers: add it to LEVELS in tests/packaging/test_layers.py"


def check(root: Path) -> list[str]:
    """Every broken rule as a sentence, none for a sound tree."""
    broken = [
        f"{found.file}:{found.line} {sentence}"
        for found in imports(root)
        for rule in (relative, outward, storage, upward)
        if (sentence := rule(found))
    ]
    return [*broken, *unplaced(root)]


def plant(root: Path, files: dict[str, str]) -> Path:
    """A tree of the given files."""
    for file, source in files.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(source, encoding="utf-8")
    return root


def test_the_tree_keeps_its_layers() -> None:
    assert check(ROOT) == []


def test_the_walk_sees_the_tree() -> None:
    assert "ssl_robot/__init__.py" in python_files(ROOT)
    assert any(found.file == "tests/packaging/test_layers.py" and found.target == "ast" for found in imports(ROOT))


@pytest.mark.parametrize(
    ("file", "source", "sentence"),
    [
        ("ssl_robot/views.py", "import ssl_robot.envs.pusht", "ssl_robot/ may not import envs/"),
        ("ssl_robot/views.py", "def f():\n    from ssl_robot.datasets import store", "may not import datasets/"),
        ("ssl_robot/__init__.py", "from ssl_robot import experiments", "ssl_robot/ may not import experiments/"),
        ("envs/pusht.py", "from ssl_robot.datasets.store import FrameStore", "envs/ may not import datasets/"),
        ("envs/pusht.py", "import ssl_robot.experiments.cli", "envs/ may not import experiments/"),
        ("datasets/store.py", "from ssl_robot import envs", "datasets/ may not import envs/"),
        ("datasets/importers/video.py", "import experiments.cli", "datasets/ may not import experiments/"),
        ("experiments/cli.py", "from tests.packaging import test_layers", "experiments/ may not import tests/"),
        ("experiments/cli.py", "import envs.pusht", "its full name is ssl_robot.envs.pusht"),
        ("datasets/summary.py", "from h5py import File", "datasets/hdf5.py do"),
        ("experiments/cli.py", "import h5py._hl", "datasets/hdf5.py do"),
        ("ssl_robot/methods/moco.py", "from .simsiam import SimSiam", "relative name"),
        ("ssl_robot/methods/moco.py", "from ssl_robot.methods.simsiam import SimSiam", "a file of its own package"),
        ("ssl_robot/methods/moco.py", "from ssl_robot.methods import simsiam", "a file of its own package"),
        ("ssl_robot/encoder.py", "from ssl_robot.views import Views", "encoder does not stand above views"),
        ("ssl_robot/encoder.py", "from ssl_robot import recipes", "encoder does not stand above recipes"),
        ("ssl_robot/invariances/crop.py", "if True:\n    import ssl_robot.report", "does not stand above report"),
        ("ssl_robot/probes/knn.py", "import ssl_robot.plugins.onnx", "probes does not stand above plugins"),
        ("ssl_robot/audit.py", "from ssl_robot import Encoder", "import from the module that defines it"),
        ("ssl_robot/audit.py", "import ssl_robot", "import from the module that defines it"),
        ("ssl_robot/novelty.py", "import math", "ssl_robot.novelty has no place among the layers"),
        ("ssl_robot/novelties/one.py", "", "ssl_robot.novelties has no place among the layers"),
    ],
)
def test_a_planted_violation_is_reported(tmp_path: Path, file: str, source: str, sentence: str) -> None:
    tree = plant(tmp_path, {"ssl_robot/methods/simsiam.py": "", file: source})
    broken = check(tree)
    assert len(broken) == 1
    assert file.removesuffix(".py").split("/")[1] in broken[0]
    assert sentence in broken[0]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("ssl_robot/__init__.py", "from ssl_robot.report import Report"),
        ("ssl_robot/methods/moco.py", "from ssl_robot.methods import Method"),
        ("ssl_robot/methods/moco.py", "from ssl_robot.encoder import Encoder\nimport torch.nn"),
        ("ssl_robot/report.py", "from ssl_robot import __version__, audit"),
        ("ssl_robot/plugins/gymnasium.py", "import gymnasium"),
        ("envs/pusht.py", "from ssl_robot.frames import FrameSink\nfrom ssl_robot.envs.explorers import pink"),
        ("datasets/store.py", "import h5py"),
        ("datasets/importers/lerobot.py", "import datasets\nfrom ssl_robot.datasets.store import FrameStore"),
        ("experiments/cli.py", "import ssl_robot.envs.pusht, ssl_robot.datasets.store, ssl_robot.report"),
        ("tests/datasets/test_store.py", "import h5py\nimport ssl_robot.experiments.cli"),
    ],
)
def test_what_the_rules_allow_passes(tmp_path: Path, file: str, source: str) -> None:
    assert check(plant(tmp_path, {"ssl_robot/methods/simsiam.py": "", file: source})) == []
