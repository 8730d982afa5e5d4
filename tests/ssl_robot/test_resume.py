"""Runs that are stopped, killed or broken, and go on as if nothing had been."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ssl_robot import checkpoints, encoder, interrupts
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.pretrain import pretrain
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training

METHOD = Simsiam(width=32)
SHORT = Training(epochs=3, batch_size=16, size=16, device="cpu", precision="fp32", save_minutes=0)
ROWS = np.arange(5, 69)  # four steps an epoch


def run(frames: Any, out: Path | None, training: Training = SHORT, resume: bool = False) -> encoder.Encoder:
    recipe = Recipe.named("simsiam").having("time")
    return pretrain(frames, ROWS, METHOD, recipe, "small", training, out, quiet=True, resume=resume)


def weights(trained: encoder.Encoder) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in trained.backbone.state_dict().values()])


def lines(out: Path) -> list[dict[str, float]]:
    with (out / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in line.items() if v and k != "frames_per_s"} for line in csv.DictReader(file)]


@pytest.fixture(scope="module")
def frames(memory: Any, resets: FrameStore) -> Any:
    """Frames of PushT as twenty episodes of fifteen, in memory."""
    return memory(resets.take(np.arange(300)), [15] * 20)


@pytest.fixture(scope="module")
def whole(frames: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.Tensor, list[dict[str, float]]]:
    """What a run gives that nobody disturbs."""
    out = tmp_path_factory.mktemp("whole")
    return weights(run(frames, out)), lines(out)


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 11])
def test_a_run_that_was_stopped_gives_the_same_weights_to_the_bit(
    frames: Any, whole: tuple[torch.Tensor, list[dict[str, float]]], tmp_path: Path, steps: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Wherever in an epoch: weights, batch statistics, and every figure of every epoch."""
    with monkeypatch.context() as patched:
        _stop_after(patched, steps)
        with pytest.raises(KeyboardInterrupt):
            run(frames, tmp_path)
    assert not (tmp_path / "encoder.safetensors").exists()
    trained = run(frames, tmp_path, resume=True)
    assert torch.equal(weights(trained), whole[0])
    assert lines(tmp_path) == whole[1]
    assert not checkpoints.found(tmp_path)


def _stop_after(patched: pytest.MonkeyPatch, steps: int) -> None:
    """Ctrl-C while a step is made."""
    made = torch.optim.SGD.step
    count = iter(range(10**6))

    def step(self: torch.optim.SGD, *args: Any) -> Any:
        if next(count) + 1 == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return made(self, *args)

    patched.setattr(torch.optim.SGD, "step", step)


def test_a_checkpoint_that_is_damaged_is_made_up_for_by_the_one_before(
    frames: Any, whole: tuple[torch.Tensor, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _stop_after(patched, 6)
        with pytest.raises(KeyboardInterrupt):
            run(frames, tmp_path)
    last = tmp_path / checkpoints.FILE
    last.write_bytes(last.read_bytes()[:-200])
    assert torch.equal(weights(run(frames, tmp_path, resume=True)), whole[0])


def test_two_damaged_checkpoints_say_so(tmp_path: Path) -> None:
    for name in (checkpoints.FILE, checkpoints.PREVIOUS):
        (tmp_path / name).write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(InputError, match="is damaged, and so is the one before"):
        checkpoints.load(tmp_path, torch.device("cpu"))


def test_a_checkpoint_holds_nothing_to_unpickle(tmp_path: Path) -> None:
    """One that did would run whatever it says."""

    class Trap:
        def __reduce__(self) -> Any:
            return os.system, ("touch " + str(tmp_path / "sprung"),)

    torch.save({"objective": Trap()}, tmp_path / checkpoints.FILE)
    with pytest.raises(InputError):
        checkpoints.load(tmp_path, torch.device("cpu"))
    assert not (tmp_path / "sprung").exists()


def test_an_unfinished_run_is_not_begun_again_by_mistake(
    frames: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _stop_after(patched, 2)
        with pytest.raises(KeyboardInterrupt):
            run(frames, tmp_path)
    with pytest.raises(InputError, match="unfinished run: add --resume"):
        run(frames, tmp_path)
    with pytest.raises(InputError, match=r"training.lr is 1.0, was 2.0; training.seed is 4, was 0\)"):
        run(frames, tmp_path, replace(SHORT, lr=1.0, seed=4), resume=True)
    run(frames, tmp_path, replace(SHORT, save_minutes=9, on_collapse="warn"), resume=True)


def test_time_that_runs_out_leaves_an_encoder_and_the_way_on(
    frames: Any, whole: tuple[torch.Tensor, Any], tmp_path: Path
) -> None:
    early = run(frames, tmp_path, replace(SHORT, max_minutes=1e-9))
    assert not torch.equal(weights(early), whole[0])
    assert torch.equal(weights(encoder.load(tmp_path)), weights(early))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["finished"], summary["steps"]) == (False, 1)
    assert torch.equal(weights(run(frames, tmp_path, resume=True)), whole[0])


def test_a_summary_counts_the_minutes_of_all_parts(frames: Any, tmp_path: Path) -> None:
    """Of a run that was gone on with it tells all steps, and so all of the time."""
    run(frames, tmp_path, replace(SHORT, max_minutes=1e-9))
    state = torch.load(tmp_path / checkpoints.FILE, weights_only=True)
    assert state["seconds"] > 0
    torch.save({**state, "seconds": 6000.0}, tmp_path / checkpoints.FILE)
    run(frames, tmp_path, resume=True)
    assert json.loads((tmp_path / "summary.json").read_text())["minutes"] > 100


def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(
    frames: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = torch.optim.SGD.step
    count = iter(range(100))

    def step(self: torch.optim.SGD, *args: Any) -> Any:
        if next(count) == 5:
            self.param_groups[0]["params"][0].data.fill_(math.nan)
        return made(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    with pytest.raises(InputError, match=r"no number any more in epoch 2"):
        run(frames, tmp_path)
    state = checkpoints.load(tmp_path, torch.device("cpu"))
    assert state is not None
    # the step that broke it had a good loss still; the next one was noticed before it was saved
    assert (state["epoch"], state["step"]) in {(1, 1), (1, 2)}


def test_a_second_signal_is_not_waited_for() -> None:
    with interrupts.heard() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert stop.signal == signal.SIGTERM
        with pytest.raises(SystemExit) as left:
            signal.raise_signal(signal.SIGTERM)
    assert left.value.code == 143


def test_batches_that_are_added_up_are_one_step(frames: Any, tmp_path: Path) -> None:
    """There are as many steps as with batches of twice the length."""
    run(frames, tmp_path, replace(SHORT, batch_size=8, accumulate=2))
    assert json.loads((tmp_path / "summary.json").read_text())["steps"] == 12


def test_a_run_leaves_a_curve_a_summary_and_tensorboards_files(frames: Any, tmp_path: Path) -> None:
    run(frames, tmp_path)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["finished"]
    assert sum(summary["time"].values()) == pytest.approx(1)
    assert {"load", "views", "forward", "backward"} <= set(summary["time"])
    assert summary["peak memory, MB"]["processor"] > 50
    assert list((tmp_path / "tensorboard").glob("events*"))
    expected = {"epoch", "loss", "spread", "directions", "rank", "alignment", "uniformity", "matched", "gradient", "lr"}
    assert expected <= set(lines(tmp_path)[-1])


def test_figures_go_to_a_service_too(frames: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    service = SimpleNamespace(
        init=lambda **words: told.append(words["name"]), log=told.append, finish=lambda: told.append("end")
    )
    monkeypatch.setitem(sys.modules, "trackio", service)
    monkeypatch.setitem(sys.modules, "wandb", None)
    recipe = Recipe.named("crop")
    arguments = (frames, ROWS, METHOD, recipe, "small", SHORT)
    pretrain(*arguments, tmp_path / "run", quiet=True, service="trackio")
    assert (told[0], told[-1], len(told)) == ("run", "end", 5)
    assert {"loss", "spread"} <= set(told[1])
    with pytest.raises(InputError, match="wandb is not installed: pip install wandb"):
        pretrain(*arguments, tmp_path / "other", quiet=True, service="wandb")


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from ssl_robot.datasets.store import FrameStore
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.pretrain import pretrain
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training

file, out, batch, accumulate, epochs = sys.argv[1:]
training = Training(
    epochs=int(epochs), batch_size=int(batch), accumulate=int(accumulate), size=16, device="cpu", precision="fp32",
    save_minutes=0, on_collapse="warn", lr=0.2,
)
pretrain(
    FrameStore(file), np.arange(64), Simsiam(width=32), Recipe.named("simsiam"), "small", training, Path(out),
    quiet=True, resume=True,
)
"""


def started(resets: FrameStore, folder: Path, out: str, *words: str, processes: int = 1) -> "subprocess.Popen[str]":
    script = folder / "run.py"
    script.write_text(SCRIPT)
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*launcher, str(script), str(resets.path), str(folder / out), *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ended(process: "subprocess.Popen[str]") -> str:
    text, _ = process.communicate(timeout=240)
    assert process.returncode == 0, text
    return text


@pytest.mark.slow
@pytest.mark.parametrize("signals", [(signal.SIGKILL,) * 3, (signal.SIGTERM, signal.SIGKILL)])
def test_a_run_that_is_killed_at_any_moment_gives_the_same_weights(
    resets: FrameStore, tmp_path: Path, signals: tuple[signal.Signals, ...]
) -> None:
    """Really killed, again and again; what SIGTERM ends says so by its exit code."""
    ended(started(resets, tmp_path, "whole", "16", "1", "30"))
    random = np.random.default_rng(0)
    for number in signals:
        process = started(resets, tmp_path, "killed", "16", "1", "30")
        before = _written(tmp_path / "killed")
        patience = time.monotonic() + 60
        while _written(tmp_path / "killed") == before and process.poll() is None and time.monotonic() < patience:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.3))
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    ended(started(resets, tmp_path, "killed", "16", "1", "30"))
    whole, killed = (weights(encoder.load(tmp_path / name)) for name in ("whole", "killed"))
    assert torch.equal(whole, killed)


def _written(out: Path) -> int:
    file = out / checkpoints.FILE
    return file.stat().st_mtime_ns if file.exists() else 0


@pytest.mark.slow
def test_two_processes_learn_what_one_does(resets: FrameStore, tmp_path: Path) -> None:
    """Each sees half of every batch; batch norm and the loss see the whole."""
    ended(started(resets, tmp_path, "one", "16", "1", "2"))
    ended(started(resets, tmp_path, "two", "16", "1", "2", processes=2))
    summary = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert (summary["processes"], summary["steps"]) == (2, 8)
    one, two = (encoder.load(tmp_path / name).backbone.state_dict() for name in ("one", "two"))
    for name, expected in one.items():
        torch.testing.assert_close(
            two[name], expected, atol=2e-4, rtol=2e-3, msg=lambda text, name=name: f"{name}: {text}"
        )
