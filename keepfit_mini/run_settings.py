"""What a run folder was begun with, and what a resume may change of it. Not about: checkpoints (checkpoints.py)."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from .config import InputError, ModelConfig, TrainConfig, first_process

FREE = ("max_bad", "num_workers", "cache_gb")  # the machine's, not the run's


def settings_of(run: Path, given: TrainConfig) -> tuple[ModelConfig, TrainConfig]:
    """What a run goes on with: its own settings but for FREE, which are the machine's. Says which others were given in vain."""
    model, before = read_configs(run)
    before = dataclasses.replace(before, **{name: getattr(given, name) for name in FREE})
    wanted = dataclasses.asdict(given)
    other = [f"{k} {v} (not {wanted[k]})" for k, v in dataclasses.asdict(before).items() if v != wanted[k]]
    if other and first_process():
        print(f"{run}: goes on with the settings that it was begun with: {', '.join(other)}", file=sys.stderr)
    return model, before


def read_configs(run: Path) -> tuple[ModelConfig, TrainConfig]:
    """The two configs of a run folder."""
    try:
        saved = json.loads((run / "config.json").read_text())
        return ModelConfig(**saved["model"]), TrainConfig(**saved["train"])
    except InputError as error:
        raise InputError(str(error), run / "config.json") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError("not the config.json of a run: restore it, or start a new run", run / "config.json") from error
