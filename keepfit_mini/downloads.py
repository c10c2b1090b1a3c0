"""fetch(): one file over HTTP, kept only if size and SHA-256 are right.  unpack(): an archive -> a folder, or nothing at all.

The server and the archive are strangers: what is too long is cut off, what would leave the folder is refused, and nothing
half-written lies under a final name. Not about: which sets there are and where they come from.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import stat
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import unquote

import pooch
import requests

from .config import InputError, file_sha256

ATTEMPTS = 3
TIMEOUT = 30  # seconds without a byte
WAIT = 1.0  # seconds before another attempt
HEADER_BYTES = 2**20  # longer than any name in an archive
MAX_MEMBERS = 2_000_000
pooch.get_logger().setLevel("WARNING")  # the bar says enough


class TooLong(OSError):
    """More bytes came than were promised."""


class Limited:
    """A file that takes `size` bytes, not one more."""

    def __init__(self, file: IO[bytes], size: int):
        self.file, self.left, self.flush = file, size, file.flush

    def write(self, chunk: bytes) -> None:
        self.left -= len(chunk)
        if self.left < 0:
            raise TooLong("the server sends more than that")
        self.file.write(chunk)


def fetch(url: str, folder: str | Path, name: str | None = None, *, sha256: str, size: int, progress: bool = True) -> Path:
    """A file of exactly `size` bytes and that SHA-256 in `folder`, called `name` (None: as the URL ends); returns its path.

    One that lies there already is not fetched again; another one of that name is left alone and refused.
    A connection that breaks is tried ATTEMPTS times. InputError: whatever fails, with the URL and the mend.
    """
    name = unquote(re.split("[?#]", url)[0].rpartition("/")[2]) if name is None else name
    if not url.startswith(("https://", "http://")):
        raise InputError("not an address of the web: give one that begins with https://", url)
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name:
        raise InputError(f"{name!r} is not the name of a file: give a name without folders", url)
    path = Path(folder) / name
    if path.exists() or path.is_symlink():
        if path.is_file() and path.stat().st_size == size and file_sha256(path) == sha256.lower():
            return path
        raise InputError(f"is not the file of {url}, other bytes lie there: move it away, then try again", path)

    def download(url: str, part: str, _) -> None:
        headers = {"Accept-Encoding": "identity"}  # the bytes as they are: what is unpacked on the way has no size
        with Path(part).open("wb") as file:
            limited = Limited(file, size)
            pooch.HTTPDownloader(progressbar=progress, chunk_size=2**16, timeout=TIMEOUT, headers=headers)(url, limited, None)
        if limited.left:
            raise requests.ConnectionError(f"{size - limited.left:,} of {size:,} bytes came")

    for attempt in range(1, ATTEMPTS + 1):
        try:
            pooch.retrieve(url, f"sha256:{sha256.lower()}", name, path.parent.absolute(), downloader=download)
            return path
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            if attempt == ATTEMPTS:
                raise InputError(f"the connection broke {ATTEMPTS} times ({error}): try again later", url) from error
            print(f"the connection to {url} broke ({error}): trying again", file=sys.stderr)
            time.sleep(WAIT * attempt)
        except requests.RequestException as error:  # 404 and the like: asking again changes nothing
            raise InputError(f"cannot be fetched ({error}): correct the address, or try again later", url) from error
        except TooLong as error:
            raise InputError(f"is not the {size:,} bytes expected ({error}): the file has changed, look for a newer version of "
                             "this package, or fetch it by hand", url) from error  # fmt: skip
        except ValueError as error:  # pooch: another SHA-256
            raise InputError(f"is not the file expected ({error}): it has changed, look for a newer version of this package, "
                             "or fetch it by hand", url) from error  # fmt: skip
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"cannot be kept in {folder} ({reason}): give a folder that can be written", url) from error
    raise AssertionError("each attempt returns or raises")


# ---------------------------------------------------------------------------------------------------------- archives


def unpack(archive: str | Path, folder: str | Path, limit: int = 50 * 2**30) -> Path:
    """A zip, tar, tar.gz, tar.bz2 or tar.xz -> a new folder, which is returned.

    limit  bytes that all its files may have together
    InputError, and nothing is left: a folder that exists, no archive or a damaged one, one that is too large, or has a member
    that is no plain file or folder (links, devices) or would lie elsewhere. The last three are known before anything is written.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise InputError("no such archive: give the path of a zip or tar file", archive)
    if folder.exists() or folder.is_symlink():
        raise InputError("exists already: choose another folder, or delete it", folder)
    part = None
    try:
        with archive.open("rb") as file:
            members = []
            for name, size, plain, read in zip_members(file) if zipfile.is_zipfile(file) else tar_members(file):
                where = name.replace("\\", "/")
                if not plain or where.startswith("/") or ".." in where.split("/") or re.match("[A-Za-z]:", where):
                    what = "leads out of its folder" if plain else "is a link, a device or encrypted"
                    raise InputError(f"its member {name[:200]!r} {what}: do not use this archive", archive)
                limit -= size
                if limit < 0 or size < 0 or len(members) == MAX_MEMBERS:
                    raise InputError("holds more than may be unpacked: see where it comes from, or raise the limit", archive)
                members.append((where, read))
            folder.parent.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
            part.chmod(0o755)
            for where, read in members:
                write_member(part / where, read)
        part.rename(folder)
    except InputError:
        raise
    except Exception as error:  # zlib.error, LZMAError, BadZipFile, EOFError, ...: each format has its own
        mend = "mend the folder" if getattr(error, "errno", None) else "fetch it again"
        raise InputError(f"cannot be unpacked ({type(error).__name__}: {error}): {mend}", archive) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def write_member(path: Path, read: Callable[[], IO[bytes]] | None) -> None:
    """A file with what `read` opens, or a folder (None). Of the archive's modes and owners nothing is taken over."""
    (path if read is None else path.parent).mkdir(parents=True, exist_ok=True)
    if read is not None:
        with read() as source, path.open("xb") as target:
            shutil.copyfileobj(source, target)


Member = tuple[str, int, bool, Callable[[], IO[bytes]] | None]  # name, bytes, whether it is plain, how to read it (folder: None)


def zip_members(file: IO[bytes]) -> Iterator[Member]:
    container = zipfile.ZipFile(file)
    for info in container.infolist():
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # of the others zipfile unpacks all at once, whatever size the header claims
            raise InputError(f"its member {info.filename[:200]!r} is not packed by deflate: pack it anew", file.name)
        plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR) and not info.flag_bits & 1
        yield info.filename, info.file_size, plain, None if info.is_dir() else partial(container.open, info)


def tar_members(file: IO[bytes]) -> Iterator[Member]:
    """tarfile takes a header that it cannot read for the end: the end must be there, and the checksum behind it right."""
    file.seek(0)
    start = file.read(6)
    file.seek(0)
    kinds = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    reader = next((Short(kind(file)) for magic, kind in kinds.items() if start.startswith(magic)), Short(file))
    container = tarfile.open(fileobj=reader, mode="r:")  # noqa: SIM115, members are read from it later
    for member in container:
        read = None if member.isdir() else partial(container.extractfile, member)
        yield member.name, member.size, member.isreg() or member.isdir(), read
    reader.seek(container.offset)
    if reader.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("damaged, or cut off")
    reader.read(HEADER_BYTES)


class Short:
    """A file of which only short pieces are read: a tar's header may ask for gigabytes at once."""

    def __init__(self, file: IO[bytes]):
        self.file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= HEADER_BYTES:
            raise tarfile.ReadError("a header of absurd length")
        return self.file.read(size)
