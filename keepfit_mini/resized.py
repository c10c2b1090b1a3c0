"""Resized pictures on disk, so that a file is decoded once a run and not once an epoch (TrainConfig.cache_gb).

Kept in a file without a name: it goes when its process ends, however that ends, and forked reader processes share it.
Not about: what frozen stages or whole encoders give (frozen_stages.py, features.py).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib

import torch
from torch import Tensor

CHECK_BYTES = 4


class ResizedPictures:
    """Row -> uint8 (3,S,S), for the first rows that fit into `limit` bytes and half of the free disk.

    Each record begins with its CRC-32: one that is not there yet, or half written by another process, does not fit it.
    """

    def __init__(self, rows: int, size: int, limit: float):
        self.shape = (3, size, size)
        self.record = CHECK_BYTES + 3 * size * size
        self.rows = min(rows, int(limit // self.record)) if hasattr(os, "pread") else 0  # Windows has none
        self.full, self.file = False, None
        try:
            if self.rows:
                self.file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as this object)
                free = shutil.disk_usage(tempfile.gettempdir()).free
                self.rows = min(self.rows, int(free / 2 // self.record))  # a checkpoint must find room too
        except OSError:  # no folder for it: every picture is read anew
            self.rows = 0

    @property
    def bytes(self) -> int:
        """What the file holds at most."""
        return self.rows * self.record

    def get(self, row: int) -> Tensor | None:
        if row >= self.rows:
            return None
        record = bytearray(os.pread(self.file.fileno(), self.record, row * self.record))
        pixels = memoryview(record)[CHECK_BYTES:]
        if len(record) < self.record or zlib.crc32(pixels) != int.from_bytes(record[:CHECK_BYTES], "big"):
            return None
        return torch.frombuffer(pixels, dtype=torch.uint8).view(self.shape)

    def put(self, row: int, pixels: Tensor) -> None:
        if row >= self.rows or self.full:
            return
        data = pixels.contiguous().numpy().tobytes()
        try:
            os.pwrite(self.file.fileno(), zlib.crc32(data).to_bytes(CHECK_BYTES, "big") + data, row * self.record)
        except OSError:  # the disk is full: what is there stays useful
            self.full = True

    def __getstate__(self) -> dict:
        return {**self.__dict__, "rows": 0, "file": None}  # a process that is not forked begins without
