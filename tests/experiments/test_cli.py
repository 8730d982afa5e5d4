"""The command line as a user meets it: help that is light, errors that are one sentence, files that are whole."""

import json
import subprocess
import sys

import h5py
import pytest

from ssl_robot.encoder import load
from ssl_robot.experiments import cli


def fails(capsys, *words):
    """The message of a command that must refuse its input."""
    assert cli.main([str(word) for word in words]) == cli.USAGE
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("ssl-robot: ")
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("command", [*cli.commands(), ""])
def test_help_loads_nothing_heavy(command):
    script = (
        "import sys\nfrom ssl_robot.experiments import cli\n"
        f"try: cli.main({[command] if command else []} + ['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'gymnasium', 'matplotlib', 'h5py', 'scipy', 'av', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ssl-robot" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["gym_pusht/PushX-v9"], "check its name"),
        (["Nowhere-v0"], "Gymnasium cannot make"),
        (["gym_pusht/PushT-v0", "--size", "-3"], "--size 8 or more"),
        (["gym_pusht/PushT-v0", "--explorer", "wild"], "choose from"),
        (["gym_pusht/PushT-v0", "--reset-every", "-1"], "no negative number"),
    ],
)
def test_collect_refuses_in_one_sentence_and_leaves_nothing(capsys, tmp_path, words, says):
    out = tmp_path / "f.h5"
    assert says in fails(capsys, "collect", *words, "--out", out, "--frames", 5)
    assert not out.exists()


def test_zero_frames_are_refused(capsys, tmp_path):
    assert "at least one frame" in fails(
        capsys, "collect", "gym_pusht/PushT-v0", "--out", tmp_path / "f.h5", "--frames", 0
    )


def test_a_finished_file_is_not_overwritten_unasked(capsys, tmp_path):
    words = ["collect", "gym_pusht/PushT-v0", "--out", str(tmp_path / "f.h5"), "--frames", "3", "--size", "32"]
    assert cli.main(words) == 0
    assert "--if-exists" in fails(capsys, *words)
    assert cli.main([*words, "--if-exists", "append", "--seed", "1"]) == 0
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["data"].attrs["total"] == 6


@pytest.mark.parametrize("command", ["info", "pretrain", "probe", "audit"])
def test_files_that_are_not_ours_are_refused(capsys, tmp_path, command):
    def words(path):
        before = ["pose", "random"] if command == "probe" else []
        after = [] if command in ("info", "probe") else ["--out", tmp_path / "out"]
        return [command, *before, path, *after]

    assert "There is no file" in fails(capsys, *words(tmp_path / "missing.h5"))
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    assert "HDF5" in fails(capsys, *words(tmp_path / "text.h5"))
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data/demo_0/obs/x"] = [1]
    assert "not written by ssl_robot" in fails(capsys, *words(tmp_path / "foreign.h5"))
    assert not (tmp_path / "out").exists()


def test_unknown_names_are_answered_with_the_known_ones(capsys, tmp_path, resets):
    path, out = resets.path, tmp_path / "run"
    assert "simsiam" in fails(capsys, "pretrain", path, "--out", out, "--method", "simclear")
    assert "resnet18" in fails(capsys, "pretrain", path, "--out", out, "--backbone", "big")
    assert "crop" in fails(capsys, "pretrain", path, "--out", out, "--recipe", "cake")
    assert "rotation" in fails(capsys, "pretrain", path, "--out", out, "--with", "rotatoin")
    assert "top" in fails(capsys, "pretrain", path, "--out", out, "--camera", "wrist")
    assert "poses/block" in fails(capsys, "probe", "pose", "random", path, "--target", "state")
    assert "no encoder" in fails(capsys, "probe", "pose", tmp_path / "nothing", path)
    assert "at least 1" in fails(capsys, "pretrain", path, "--out", out, "--epochs", "0")
    assert not out.exists()


def test_probe_prints_one_json_object(capsys, resets):
    words = ["probe", "pose", "random", str(resets.path), "--target", "block", "--json"]
    assert cli.main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {"probe", "encoder", "scores"} <= set(answer)
    keys = {"target", "component", "metric", "value", "low", "high", "n", "chance"}
    assert all(keys <= set(score) for score in answer["scores"])
    assert {score["component"] for score in answer["scores"]} == {"x", "y", "angle", "angle cos", "angle sin"}


def test_pretrain_then_probe(capsys, tmp_path, resets):
    run = tmp_path / "run"
    assert cli.main(["pretrain", str(resets.path), "--out", str(run), "--epochs", "1", "--size", "32"]) == 0
    assert "holds a finished run" in fails(capsys, "pretrain", resets.path, "--out", run)
    assert cli.main(["probe", "pose", str(run), str(resets.path), "--target", "block"]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("pixels", "random", "chance", "angle sin"))


def test_pretrain_on_several_recordings_and_go_on(capsys, tmp_path, resets):
    run = tmp_path / "run"
    words = ["pretrain", str(resets.path), str(resets.path), "--out", str(run), "--epochs", "2", "--size", "32"]
    words += ["--batch-size", "32", "--recipe", "crop", "--with", "rotation", "--rotation.degrees", "30"]
    assert cli.main([*words, "--weights", "1", "2", "--max-minutes", "0.0001"]) == 0
    assert "--resume goes on" in capsys.readouterr().out
    assert "finished run" in fails(capsys, *words, "--weights", "1", "2")
    assert "weights is [1.0, 1.0], was [1.0, 2.0]" in fails(capsys, *words, "--weights", "1", "1", "--resume")
    assert cli.main([*words, "--weights", "1", "2", "--resume"]) == 0
    told = capsys.readouterr().out
    assert f'ssl_robot.load("{run}")' in told
    assert len(told.splitlines()) < 10
    assert load(run).card.recipe["rotation"]["degrees"] == 30


def test_strengths_from_both_ways_of_saying_them(capsys, tmp_path, resets):
    words = ["views", resets.path, "--out", tmp_path / "v.png", "--strengths", "hue.turn=0.9", "--blur.p", "0.2"]
    assert "hue.turn is 0.9" in fails(capsys, *words)
    assert "--blur.p is 'much'" in fails(capsys, *words[:4], "--blur.p", "much")
    assert "no 'rotation' whose strength" in fails(capsys, *words[:4], "--rotation.degrees=3")
    assert "hue.turn is 0.6" in fails(capsys, *words[:4], "--blur.p=.1", "--strengths", "hue.turn=0.6")


def test_a_probe_says_what_its_settings_were_and_leaves_out_what_cannot_be_asked(capsys, resets):
    """Pixels have no map to be shown beside the map; those that are asked for by name are refused instead."""
    words = ["probe", "invariance", "random", str(resets.path), "--names", "flip", "--frames", "40", "--strengths", "1"]
    assert cli.main([*words, "--seed", "5", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {score["seed"] for score in answer["scores"]} == {5}
    assert set(answer["baselines"]) == {"pixels"}
    assert cli.main(["probe", "pose", "random", str(resets.path), "--layer", "map", "--target", "block"]) == 0
    assert "map" in capsys.readouterr().out
    assert "no feature map" in fails(
        capsys, "probe", "pose", "random", resets.path, "--layer", "map", "--baselines", "state"
    )


def test_blind_features_stand_beside_a_random_network_of_their_own_kind(capsys, resets):
    words = ["probe", "pose", "blind:flip", str(resets.path), "--target", "block", "--baselines", "random", "--json"]
    assert cli.main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    value = {(s["component"], s["metric"]): s["value"] for s in answer["scores"]}
    plain = {(s["component"], s["metric"]): s["value"] for s in answer["baselines"]["random"]}
    assert plain["x", "r2"] > value["x", "r2"] + 0.1
    assert plain["y", "r2"] < value["y", "r2"] + 0.1
