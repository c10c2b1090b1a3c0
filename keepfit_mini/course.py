"""What a notebook of the course finds around it: versions, device, room, switches. Not about: the notebooks' own form
(data_scripts/course.py).
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil  # comes with accelerate
import torch

from . import __version__

LEAST_PYTHON = (3, 11)
LEAST_MEMORY = 2.0  # GB free; the largest notebook takes less


def usable_cores() -> int:
    """Cores that this process may run on: fewer than the machine has under taskset or a batch system."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name() -> str:
    """"cuda (Tesla T4)", "mps" or "cpu"."""
    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name()})"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_environment() -> None:
    """Print what the notebooks stand on, in four lines, and one line that begins with "warning:" for each thing to mend.

    No path is printed: the lines are kept in the notebooks.
    """
    python = ".".join(map(str, sys.version_info[:3]))
    memory = psutil.virtual_memory().available / 1e9
    disk = shutil.disk_usage(Path.cwd()).free / 1e9
    data = os.environ.get("KEEPFIT_DATA")
    print(f"Python {python}, torch {torch.__version__}, keepfit_mini {__version__}")
    print(f"device: {device_name()}")
    print(f"{usable_cores()} cores, {memory:.1f} GB of memory free, {disk:.0f} GB of disk free")
    fast = "set, so less work" if os.environ.get("KEEPFIT_FAST") == "1" else "not set"
    print(f"KEEPFIT_FAST: {fast}; KEEPFIT_DATA: {'set' if data else 'not set, so drawn data'}")
    if sys.version_info[:2] < LEAST_PYTHON:
        print(f"warning: Python {python} is too old: make an environment with Python 3.11 to 3.13")
    if find_spec("ipywidgets") is None:
        print("warning: no ipywidgets, so no sliders: run `pip install ipywidgets`, then restart the kernel")
    if memory < LEAST_MEMORY:
        print(f"warning: less than {LEAST_MEMORY:.0f} GB of memory free: close other programs, or set KEEPFIT_FAST=1")
    if data and not Path(data).is_dir():
        print("warning: KEEPFIT_DATA names no folder: give it the folder with the manifests, or unset it for drawn data")
