"""Every data set of the paper and of FLAIR's tables: what it is, whose, under which terms, and how one comes by it.

The facts stand in data_sets.json, one object a set; what nobody has looked up is null, which the table prints as "not known",
never a guess. Of the 37 sets that FLAIR numbers, those that it scores on (02, 13, 25, 36, 37) are not called pretraining; its
05 is split between both. Most sets need a registration, so that a program can only say how. Not about: what is done with the
pictures (preparing.py), how bytes are fetched and unpacked safely (downloads.py).
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path

import requests

from .config import InputError
from .downloads import TIMEOUT, fetch, unpack
from .set_folder import walk

ROLES = {"public": "public pretraining", "expert": "expert pairs", "unseen": "unseen test (paper)",
         "downstream": "downstream (FLAIR)"}  # fmt: skip
COLUMNS = 100  # of a terminal


@dataclass(frozen=True)
class DataSet:
    """One row of the table. None: not known here.

    key       what it is called on the command line; `folder` is its name in the authors' data frames
    roles     of ROLES
    license   the terms as published, or "not stated" where the page was looked at and has none
    url       a file that a program may fetch, with its sha256 and its size in bytes; without a checksum it is not fetched
    pictures  how many its publishers say; rows: of the authors' published data frame, if one is
    known_from  where each fact comes from, terms and citation too. tried: whether the addresses were, and what came of it
    """

    key: str
    name: str
    modality: str
    task: str
    roles: tuple[str, ...]
    home: str | None
    license: str | None
    how: str
    url: str | None
    sha256: str | None
    size: int | None
    pictures: int | None
    rows: int | None
    folder: str | None
    citation: str | None
    known_from: str
    tried: str


@dataclass(frozen=True)
class Found:
    """A set's folder: how many pictures lie there, how many of them are empty files or links to nothing, how many were expected
    (None: not known).
    """

    folder: Path
    pictures: int
    empty: int
    expected: int | None

    def __str__(self) -> str:
        expected = "a number not known" if self.expected is None else f"{self.expected:,}"
        line = f"{self.folder}: found {self.pictures:,} of {expected} pictures"
        if self.expected is not None and self.pictures > self.expected:
            line += " (masks and second copies count too)"
        return line + (f"; {self.empty:,} of them are empty files" if self.empty else "")


@cache
def table() -> tuple[DataSet, ...]:
    """The INFO table, in the order of the file."""
    rows = json.loads(resources.files(__package__).joinpath("data_sets.json").read_text(encoding="utf-8"))
    return tuple(DataSet(**{**row, "roles": tuple(row["roles"])}) for row in rows)


def plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find(name: str) -> DataSet:
    """The set of that key, full name or folder, in any case and punctuation. InputError: none, with those that are alike."""
    wanted = plain(name)
    for one in table():
        if wanted in map(plain, filter(None, (one.key, one.name, one.folder))):
            return one
    alike = [one.key for one in table() if wanted and (wanted in plain(one.key + one.name) or plain(one.key) in wanted)]
    raise InputError(f"no data set is called {name!r}: " + (f"did you mean {', '.join(alike)}?" if alike else "see `list`"))


def list_sets() -> str:
    """The table for a terminal: key, modality, roles, pictures, whether a program can fetch it, terms; then what roles mean."""
    rows = [("NAME", "MODALITY", "ROLE", "PICTURES", "GET", "TERMS")]
    for one in table():
        count = "not known" if one.pictures is None else f"{one.pictures:,}"
        get = "download" if one.sha256 else "by hand"
        rows.append((one.key, one.modality, "+".join(one.roles), count, get, one.license or "not known"))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    room = COLUMNS - sum(widths) - 2 * len(widths)
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        cells[3] = row[3].rjust(widths[3])
        lines.append("  ".join([*cells, textwrap.shorten(row[5], room, placeholder=" ...")]))
    legend = "Roles: " + "; ".join(f"{role}: {meaning}" for role, meaning in ROLES.items()) + ". More: show NAME."
    return "\n".join(lines) + "\n\n" + textwrap.fill(legend, COLUMNS)


def show(name: str) -> str:
    """All that is known of one set, field by field."""
    one = find(name)
    lines = []
    for item in fields(one):
        value = getattr(one, item.name)
        if item.name == "roles":
            value = ", ".join(ROLES[role] for role in value)
        elif item.name == "sha256" and value is None:
            value = "none published that is known here"
        elif value is None:
            value = "not known"
        elif isinstance(value, int):
            value = f"{value:,}"
        lines.append(textwrap.fill(value, COLUMNS, initial_indent=f"{item.name:12}", subsequent_indent=" " * 12,
                                   break_long_words=False, break_on_hyphens=False))  # fmt: skip
    return "\n".join(lines)


def count(one: DataSet, folder: Path) -> Found:
    """InputError: no picture in the folder."""
    below = walk(folder)
    if not below:
        raise InputError("holds no picture: unpack the set there, or give a folder that is not there yet to download to", folder)
    empty = sum(not (folder / path).is_file() or (folder / path).stat().st_size == 0 for path in below)
    return Found(folder, len(below), empty, one.pictures)


def length(url: str) -> int:
    """How many bytes the server says the file has; fetch() takes that many and no more."""
    if not url.startswith(("https://", "http://")):
        raise InputError("not an address of the web: give one that begins with https://", url)
    try:
        answer = requests.head(url, allow_redirects=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"})
        answer.raise_for_status()
        return int(answer.headers["Content-Length"])
    except requests.RequestException as error:
        raise InputError(f"cannot be reached ({error}): correct the address, or try again later", url) from error
    except (KeyError, ValueError) as error:
        mend = "fetch it by hand, unpack it, then give its folder with --folder"
        raise InputError(f"the server does not say how long the file is: {mend}", url) from error


def get(
    name: str, folder: str | Path | None = None, *, url: str | None = None, sha256: str | None = None, progress: bool = True
) -> Found:
    """A set's folder: one that is there is looked through; else it is downloaded to there, checked and unpacked.

    folder        None: data/KEY. The archive is kept beside it.
    url, sha256   a mirror of your own, instead of the table's address
    InputError: an empty folder; no address or no checksum (its message ends with how to get the set by hand); whatever
    downloads.fetch and downloads.unpack refuse. Nothing half-written is left.
    """
    one = find(name)
    folder = Path(folder) if folder is not None else Path("data") / one.key
    if folder.is_dir():
        return count(one, folder)
    if folder.exists():
        raise InputError("is a file: give a folder", folder)
    if (url is None) != (sha256 is None):
        raise InputError("an address and its checksum go together: give --url and --sha256")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise InputError(f"{sha256!r} is no SHA-256: give 64 hexadecimal digits, as `sha256sum FILE` prints them")
    size = one.size if url is None else None
    url, sha256 = (one.url, one.sha256) if url is None else (url, sha256)
    if url is None or sha256 is None:
        where = f" (home page: {one.home})" if one.home else ""
        raise InputError(f"{one.key} has to be got by hand: {one.how}{where} Unpack it, then give its folder with --folder")
    path = fetch(url, folder.parent, sha256=sha256, size=size or length(url), progress=progress)
    with path.open("rb") as file:
        if file.read(4) == b"Rar!":
            raise InputError("is a RAR archive: unpack it by hand (unrar, bsdtar), then give its folder with --folder", path)
    return count(one, unpack(path, folder))
