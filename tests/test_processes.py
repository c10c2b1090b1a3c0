"""Several processes are one: equal steps, and a run that goes on in fewer or more of them."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import keepfit_mini as kf
from keepfit_mini.data import Visits, cuts

ROOT = Path(__file__).parents[1]


def launch(processes: int, *arguments, program=("-m", "keepfit_mini")) -> subprocess.CompletedProcess:
    """`accelerate launch` on CPUs: --multi_gpu is its name for several processes, ACCELERATE_USE_CPU keeps them on CPUs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", processes, "--num_machines", 1]
        command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", port]
    command += [*program, "pretrain", *arguments]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=240)
    assert program != ("-m", "keepfit_mini") or done.returncode == 0, done.stderr[-2000:]
    return done


def steps(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> dict:
    """What data_scripts/several_processes.py measures."""
    out = tmp_path_factory.mktemp("several") / "several.json"
    command = [sys.executable, ROOT / "data_scripts" / "several_processes.py", "--out", out, "--quick"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=600, cwd=ROOT)
    return json.loads(out.read_text())["modes"]


@pytest.mark.parametrize("processes", ["2", "4"])
@pytest.mark.parametrize("variant", kf.VARIANTS)
def test_a_step_of_several_processes_is_the_step_of_the_joined_batch(compared, variant, processes):
    values = compared["exact"][processes][variant]
    for name in ("loss_relative_first_step", "gradient_relative_to_largest"):
        assert values[name] < 1e-5, (name, values)
    assert values["weights_first_step"] < 1e-6, values
    assert values["loss_relative_all_steps"] < 1e-4  # the last step's rows are dealt unevenly
    assert values["bytes_joined_per_step"] > 0


def test_the_committed_note_is_of_the_committed_figures():
    spec = importlib.util.spec_from_file_location("several_processes", ROOT / "data_scripts" / "several_processes.py")
    spec.loader.exec_module(script := importlib.util.module_from_spec(spec))
    saved = json.loads((ROOT / "results" / "several_processes.json").read_text())
    assert (ROOT / "results" / "several_processes.md").read_text() == script.describe(saved)


def test_batch_statistics_are_each_process_own(compared):
    """The comparison can fail: with batch statistics it does, since each process norms its own rows."""
    assert all(v["gradient_relative_to_largest"] > 1e-3 for v in compared["batch statistics"]["2"].values())


def test_two_processes_train_as_one_with_the_joined_batch(drawn, tmp_path):
    """And what two processes do is what one does with the joined batch, learning rate and log included."""
    run = tmp_path / "run"
    given = ["--public", drawn["public"], "--expert", drawn["expert"], "--epochs", 2, "--image-size", 48, "--exact"]
    given += ["--batch-size", 8, "--checkpoint-every", 4, "--out", run]
    rows = len(pd.read_csv(drawn["public"]))
    launch(2, *given, "--chunk-size", 3)
    whole = steps(run)
    assert [line["step"] for line in whole] == list(range(1, 2 * -(-rows // 16) + 1))
    kf.KeepFIT.from_pretrained(run)
    one = tmp_path / "one"
    given = [one if item is run else item for item in given]
    launch(1, *[16 if item == 8 else item for item in given])
    assert [line["loss"] for line in steps(one)[:3]] == pytest.approx([line["loss"] for line in whole[:3]], rel=1e-4)
    assert [line["lr"] for line in steps(one)] == pytest.approx([line["lr"] for line in whole])


def test_a_loss_that_is_no_number_in_one_process_stops_both(drawn, tmp_path):
    spoilt = tmp_path / "spoilt.py"
    spoilt.write_text(
        "import os, sys, keepfit_mini as kf\n"
        "from keepfit_mini.__main__ import main\n"
        "forward, calls = kf.KeepFIT.forward, []\n"
        "def spoil(self, *given):\n"
        "    calls.append(1)\n"
        "    total, parts = forward(self, *given)\n"
        "    return (total * float('nan') if len(calls) == 2 and os.environ['RANK'] == '1' else total), parts\n"
        "kf.KeepFIT.forward = spoil\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    run = tmp_path / "run"
    done = launch(2, "--public", drawn["public"], "--expert", drawn["expert"], "--image-size", 32, "--batch-size", 4,
                  "--out", run, program=[spoilt])  # fmt: skip
    assert done.returncode and "loss is not finite at step 2" in done.stderr
    saved = json.loads((run / "nonfinite.json").read_text())
    assert len(saved["public"]) == len(saved["expert"]) == 8  # of both processes


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_run_goes_on_in_another_number_of_processes(drawn, tmp_path, before, after):
    """With the same joined batch it goes on as the run that was never stopped: weights and optimiser are intact."""
    run = tmp_path / "run"
    killed = tmp_path / "killed.py"  # the first run dies after its sixth step, as on a machine that is lost
    killed.write_text(
        "import os, signal, sys, keepfit_mini.trainer as t\n"
        "from keepfit_mini.__main__ import main\n"
        "old = t.Run._move_on\n"
        "def new(self, end):\n"
        "    if self.step == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    old(self, end)\n"
        "t.Run._move_on = new\n"
        "main(sys.argv[1:])\n"
    )
    given = ["--public", drawn["public"], "--expert", drawn["expert"], "--epochs", 1, "--image-size", 48, "--exact"]
    given += ["--checkpoint-every", 4, "--lr", 1e-4]
    whole = tmp_path / "whole"
    launch(1, *given, "--batch-size", 16, "--out", whole)
    given += ["--batch-size", 16 // before, "--out", run]
    launch(before, *given, program=[killed])
    place = json.loads((run / "checkpoints" / "step-00000004" / "place.json").read_text())
    assert place["place"]["row"] == place["place"]["drawn"] == 4 * 16
    config = json.loads((run / "config.json").read_text())
    config["train"]["batch_size"] = 16 // after  # so that the joined batch stays what it was
    (run / "config.json").write_text(json.dumps(config))
    launch(after, *given, "--resume")
    never, log = steps(whole), steps(run)
    assert [line["step"] for line in log] == [line["step"] for line in never]
    for name, near in (("loss", 1e-3), ("lr", 1e-6), ("grad_norm", 1e-2)):  # Adam makes much of rounding, step after step
        assert [line[name] for line in log] == pytest.approx([line[name] for line in never], rel=near), name
    kf.KeepFIT.from_pretrained(run)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_every_row_once_whoever_goes_on(world):
    """Begun by one number of processes, gone on with by another: the rest of the epoch's order, each row once."""
    order = [row for batch in Visits(53, cuts(53, 8), 1, 0, False) for _, row in batch]
    assert sorted(order) == list(range(53))
    for begun in (0, 8, 24, 48):
        parts = cuts(53, 8 * world, begun, max(2, world))
        batches = [list(Visits(53, parts, 1, 0, False, rank, world)) for rank in range(world)]
        joined = [row for step in zip(*batches, strict=True) for part in step for _, row in part]
        assert joined == order[begun:]
        assert all(part for step in zip(*batches, strict=True) for part in step)  # none is without a row
    draws = [row for batch in Visits(9, [(i * 8, i * 8 + 8) for i in range(6)], 1, 0, True) for _, row in batch]
    later = Visits(9, [(16 + i * 16, 32 + i * 16) for i in range(2)], 1, 0, True, 0, 1)
    assert [row for batch in later for _, row in batch] == draws[16:48]
