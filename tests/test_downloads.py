"""Downloads from a server that breaks off, lies, sends other bytes or never ends; archives that would leave their folder."""

import contextlib
import hashlib
import http.server
import io
import os
import tarfile
import threading
import zipfile

import pytest

import keepfit_mini as kf
from keepfit_mini import downloads
from keepfit_mini.downloads import fetch, unpack

BYTES = bytes(range(256)) * 400
SHA256 = hashlib.sha256(BYTES).hexdigest()
GOOD = {"sha256": SHA256, "size": len(BYTES), "progress": False}


class Handler(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []
    sent = 0

    def log_message(self, *_):
        pass

    def answer(self, length=None, code=200):
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_GET(self):
        self.asked.append(self.path)
        what = self.path.rpartition("/")[2].split(".")[0]
        if what == "good" or (what == "once" and self.asked.count(self.path) > 1):
            self.answer(len(BYTES))
            self.wfile.write(BYTES)
        elif what in ("broken", "once"):  # says all of it and breaks off
            self.answer(len(BYTES))
            self.wfile.write(BYTES[:5000])
        elif what == "short":  # no length, and an end that looks like one
            self.answer()
            self.wfile.write(BYTES[:-1])
        elif what == "lies":  # a length that is too small
            self.answer(10)
            self.wfile.write(BYTES)
        elif what == "other":
            self.answer(len(BYTES))
            self.wfile.write(BYTES[::-1])
        elif what == "odd":
            self.answer("many")
            self.wfile.write(BYTES)
        elif what == "endless":
            self.answer()
            with contextlib.suppress(OSError):
                for _ in range(4000):  # 256 MB, if nobody hangs up
                    self.wfile.write(bytes(2**16))
                    Handler.sent += 2**16
        else:
            self.answer(0, 404)


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setattr(downloads, "WAIT", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Handler.asked, Handler.sent = [], 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_is_fetched_once(url, tmp_path, capsys):
    path = fetch(f"{url}/sets/good.zip?version=2", tmp_path / "new" / "folder", **{**GOOD, "sha256": SHA256.upper()})
    assert path == tmp_path / "new" / "folder" / "good.zip" and path.read_bytes() == BYTES
    assert fetch(f"{url}/sets/good.zip", path.parent, **GOOD) == path and len(Handler.asked) == 1
    assert fetch(f"{url}/sets/good.zip", path.parent, "mine.zip", **GOOD).name == "mine.zip"
    assert sorted(p.name for p in path.parent.iterdir()) == ["good.zip", "mine.zip"]
    assert "Downloading" not in capsys.readouterr().err


def test_a_bar_is_shown(url, tmp_path, capsys):
    fetch(f"{url}/good.zip", tmp_path, **{**GOOD, "progress": True})
    assert "102k" in capsys.readouterr().err


def test_a_connection_that_breaks_once_is_tried_again(url, tmp_path, capsys):
    assert fetch(f"{url}/once.zip", tmp_path, **GOOD).read_bytes() == BYTES
    assert "trying again" in capsys.readouterr().err and len(Handler.asked) == 2


@pytest.mark.parametrize(
    ("name", "times", "words"),
    [
        ("broken", 3, "broke 3 times.*try again later"),
        ("short", 3, "broke 3 times.*102,399 of 102,400 bytes came"),
        ("lies", 3, "broke 3 times"),
        ("other", 1, "not the file expected.*fetch it by hand"),
        ("odd", 1, "not the file expected"),
        ("endless", 1, "102,400 bytes expected.*sends more"),
        ("missing", 1, "404.*correct the address"),
    ],
)
def test_what_fails_is_named_and_leaves_nothing(url, tmp_path, name, times, words):
    with pytest.raises(kf.InputError, match=words) as error:
        fetch(f"{url}/{name}.zip", tmp_path, **GOOD)
    assert f"{url}/{name}.zip" in str(error.value) and "\n" not in str(error.value)
    assert len(Handler.asked) == times and not list(tmp_path.iterdir())
    assert Handler.sent < 50e6  # hung up, give or take what lay in the buffers


def test_another_file_of_that_name_is_left_alone(url, tmp_path):
    (tmp_path / "good.zip").write_bytes(b"years of work")
    with pytest.raises(kf.InputError, match=r"good.zip: is not the file of http.*move it away"):
        fetch(f"{url}/good.zip", tmp_path, **GOOD)
    assert (tmp_path / "good.zip").read_bytes() == b"years of work" and not Handler.asked


@pytest.mark.parametrize("name", ["../good.zip", "/tmp/good.zip", "..", "a\\b", ""])
def test_a_name_has_no_folders(url, tmp_path, name):
    with pytest.raises(kf.InputError, match="not the name of a file"):
        fetch(f"{url}/good.zip", tmp_path, name, **GOOD)


def test_other_refusals(url, tmp_path):
    (tmp_path / "file").write_text("")
    for address, folder, words in (
        ("file:///etc/passwd", tmp_path, "https"),
        ("http://127.0.0.1:9/x", tmp_path, "broke"),
        (f"{url}/good.zip", tmp_path / "file", "can be written"),
        ("http://[/x", tmp_path, "address"),
        ("http://[/", tmp_path, "address"),
    ):
        with pytest.raises(kf.InputError, match=words):
            fetch(address, folder, "x", **GOOD)


# ---------------------------------------------------------------------------------------------------------- archives


def tar(path, members, mode="w"):
    """members: (name, bytes, or TarInfo type with link name)."""
    with tarfile.open(path, mode) as container:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size, info.mode = len(content), 0o4777
                container.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                container.addfile(info)
    return path


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as container:
        for name, content in members:
            container.writestr(name, content)
    return path


TWO = [("./set/a.txt", b"a" * 70_000), ("set/deep/b.txt", b"")]


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_that_cannot_be_read_bit_by_bit_is_refused(tmp_path, packing):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", packing) as container:
        container.writestr("a", b"a" * 10)
    with pytest.raises(kf.InputError, match="x.zip: its member 'a' is not packed by deflate: pack it anew"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_archives_unpack(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    zipped(path, TWO) if kind == "zip" else tar(path, [*TWO, ("set/empty", (tarfile.DIRTYPE, ""))], f"w:{kind[4:]}")
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "mine").write_text("somebody's folder")
    assert unpack(path, tmp_path / "out", limit=70_000) == tmp_path / "out"
    found = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == {"set/a.txt", "set/deep/b.txt"} and (tmp_path / "out/set/a.txt").read_bytes() == b"a" * 70_000
    assert not (tmp_path / "out/set/a.txt").stat().st_mode & 0o4111  # nobody's modes
    assert kind == "zip" or (tmp_path / "out/set/empty").is_dir()
    assert (tmp_path / "out.part" / "mine").is_file() and len(list(tmp_path.glob("*.part"))) == 1
    with pytest.raises(kf.InputError, match="out: exists already"):
        unpack(path, tmp_path / "out")


def refused(path, words, **settings):
    before = sorted(os.walk(path.parent))
    with pytest.raises(kf.InputError, match=words) as error:
        unpack(path, path.parent / "out", **settings)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert sorted(os.walk(path.parent)) == before  # nothing was written, not even aside


@pytest.mark.parametrize("name", ["../evil", "/evil", "set/../../evil", "..\\evil", "C:\\evil", "C:evil", ".."])
def test_members_that_would_leave_the_folder(tmp_path, name):
    refused(tar(tmp_path / "x.tar", [*TWO, (name, b"evil")]), "leads out")
    refused(zipped(tmp_path / "x.zip", [*TWO, (name, b"evil")]), "leads out")


def test_links_and_devices(tmp_path):
    links = ((tarfile.SYMTYPE, "../.."), (tarfile.SYMTYPE, "set"), (tarfile.LNKTYPE, "/etc/passwd"))
    for kind, where in (*links, (tarfile.CHRTYPE, ""), (tarfile.FIFOTYPE, "")):
        refused(tar(tmp_path / "x.tar", [*TWO, ("way", (kind, where)), ("way/evil", b"evil")]), "'way' is a link, a device")
    link = zipfile.ZipInfo("way")
    link.external_attr = 0o120777 << 16
    refused(zipped(tmp_path / "x.zip", [*TWO, (link, b"../..")]), "'way' is a link, a device")


def test_bombs(tmp_path, monkeypatch):
    zeros = ("zeros", bytes(10**7))
    for path in (zipped(tmp_path / "x.zip", [*TWO, zeros]), tar(tmp_path / "x.tar.gz", [*TWO, zeros], "w:gz")):
        assert path.stat().st_size < 50_000
        refused(path, "more than may be unpacked", limit=10**7)
    monkeypatch.setattr(downloads, "MAX_MEMBERS", 1)
    refused(tmp_path / "x.zip", "more than may be unpacked")
    # a name of ten megabytes
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 10**7
    with tarfile.open(tmp_path / "y.tar.gz", "w:gz") as container:
        container.addfile(info, io.BytesIO(b"x" * 10**7))
    refused(tmp_path / "y.tar.gz", "absurd length")


def test_damaged_archives(tmp_path):
    good = {
        "x.zip": zipped(tmp_path / "x.zip", TWO).read_bytes(),
        "x.tar": tar(tmp_path / "x.tar", TWO).read_bytes(),
        "x.tar.gz": tar(tmp_path / "x.tar.gz", TWO, "w:gz").read_bytes(),
        "x.tar.xz": tar(tmp_path / "x.tar.xz", TWO, "w:xz").read_bytes(),
    }
    for name, content in good.items():
        path = tmp_path / name
        path.write_bytes(b"")
        refused(path, "cannot be unpacked.*fetch it again")
        path.write_bytes(content[: len(content) // 2])
        refused(path, "cannot be unpacked")
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
        if name != "x.tar":  # which has no checksum of its contents
            refused(path, "cannot be unpacked")
    header = 512 + 70_144  # the second member's
    (tmp_path / "x.tar").write_bytes(good["x.tar"][:header])
    refused(tmp_path / "x.tar", "cut off")
    (tmp_path / "x.tar").write_bytes(good["x.tar"][:header] + b"?" + good["x.tar"][header + 1 :])
    refused(tmp_path / "x.tar", "damaged")
    refused(tar(tmp_path / "x.tar", [("a", b"1"), ("a/b", b"2")]), "cannot be unpacked")
    refused(tar(tmp_path / "x.tar", [("a", b"1"), ("a", b"2")]), "cannot be unpacked")
    refused(tmp_path / "none.zip", "no such archive")
