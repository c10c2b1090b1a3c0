"""What a resume needs, kept so that a kill at any moment loses steps and never a run.

    RUN/checkpoints/step-00000500/    weights, optimiser, scaler, random states (Accelerate) and place.json

A checkpoint is written aside and renamed, the last two are kept, and place.json holds a SHA-256 of every file and of itself,
so that one that is cut off or altered is passed over for the one before. Accelerate reads all of them as plain tensors
(weights_only), but objects registered with it, as a schedule may be, as pickles that may run code: none is. Not about: what is
trained (trainer.py).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import load

from .config import InputError, file_sha256
from .gather import join_lists

KEPT = 2


def write_checkpoint(folder: Path, accelerator: Accelerator, place: dict) -> None:
    """The whole state as folder/step-N, N = place["step"]; older ones than the last two go. All processes call it."""
    final = folder / f"step-{place['step']:08d}"
    part = final.with_name(final.name + ".part")
    if accelerator.is_main_process:
        shutil.rmtree(part, ignore_errors=True)  # left by a kill
    accelerator.wait_for_everyone()
    accelerator.save_state(str(part))
    accelerator.wait_for_everyone()  # each process writes its random states
    if accelerator.is_main_process:
        saved = {"place": place, "files": hashes(part)}
        (part / "place.json").write_text(json.dumps({**saved, "sha256": sha256(saved)}, indent=2) + "\n")
        shutil.rmtree(final, ignore_errors=True)  # one that was passed over as broken
        part.rename(final)
        for old in checkpoints(folder)[KEPT:]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def read_checkpoint(folder: Path, accelerator: Accelerator) -> dict | None:
    """Go back to the newest checkpoint that is whole and return its place; None where there is none at all.

    Each that is passed over is named, and goes once an older one is read. All processes take the same one.
    InputError: there are some, and none is whole.
    """
    found = checkpoints(folder)
    for number, checkpoint in enumerate(found):
        reason = ""
        try:
            saved = json.loads((checkpoint / "place.json").read_text())
            place, files = saved["place"], saved["files"]
            if saved.pop("sha256") != sha256(saved):
                raise ValueError("place.json is not what was written")
            if wrong := {name for name, _ in hashes(checkpoint).items() ^ files.items()}:
                raise ValueError(f"{min(wrong)} is not what was written")
            random_states = checkpoint / f"random_states_{accelerator.process_index}.pkl"
            if accelerator.is_main_process or random_states.is_file():  # absent where there were fewer processes
                load(random_states)  # load_state passes over one that it cannot read, and the run would go on otherwise
            accelerator.load_state(str(checkpoint))
        except Exception as error:  # missing, cut off, no tensors, another model, ...: the one before may be whole
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        if reasons := [r for r in join_lists([reason]) if r]:
            if accelerator.is_main_process:
                print(f"passed over: {checkpoint} cannot be read ({reasons[0]})", file=sys.stderr)
            continue
        if accelerator.is_main_process:
            for broken in found[:number]:
                shutil.rmtree(broken)
        return place
    if found:
        raise InputError("none of its checkpoints can be read: delete the folder and start again", folder.parent)
    return None


def checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("step-*[0-9]"), reverse=True)


def sha256(saved: dict) -> str:
    return hashlib.sha256(json.dumps(saved, sort_keys=True).encode()).hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """File name -> SHA-256, place.json left out."""
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.name != "place.json"}
