"""The table of data sets says only what is known; getting one: a folder first, else a checked download, else how by hand."""

import contextlib
import hashlib
import http.server
import io
import json
import re
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import keepfit_mini as kf
from keepfit_mini import data_sets, downloads
from keepfit_mini.data_sets import ROLES, find, get, list_sets, show, table

sys.path.insert(0, str(Path(__file__).parents[1] / "data_scripts"))
from get import main  # noqa: E402


def packed(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as container:
        for name, content in members:
            container.writestr(name, content)
    return stream.getvalue()


def picture():
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    return stream.getvalue()


FILES = {
    "set.zip": packed([("set/a.png", picture()), ("set/deep/b.JPG", b""), ("set/labels.csv", b"a,1\n")]),
    "evil.zip": packed([("a.png", picture()), ("../evil.png", picture())]),
    "text.zip": packed([("readme.txt", b"no pictures")]),
    "set.rar": b"Rar!\x1a\x07" + bytes(100),
    "broken.zip": packed([("a.png", picture() * 50)]),
    "silent.zip": packed([("a.png", picture())]),
}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        content = FILES.get(self.path.rpartition("/")[2])
        self.send_response(404 if content is None else 200)
        if content is not None and "silent" not in self.path:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        content = FILES.get(self.path.rpartition("/")[2], b"")
        with contextlib.suppress(OSError):
            self.wfile.write(content[:300] if "broken" in self.path else content)


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setattr(downloads, "WAIT", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# ------------------------------------------------------------------------------------------------------------ the table


def test_the_sets_of_the_paper_and_of_flair_are_there():
    folders = {one.folder[:2] for one in table() if one.folder}
    assert {f"{number:02d}" for number in range(1, 39)} <= folders  # FLAIR's numbers, and 38 that came later
    assert len({one.key for one in table()}) == len(table())
    for name in ("REFUGE", "FIVES", "odir-200x3", "ODIR-5K", "TAOP", "amd", "FFA-IR", "synfundus", "MM-Retinal v1", "messidor2",
                 "20x3", "08_ODIR-5K", "25_REFUGE"):  # fmt: skip
        assert find(name) in table()
    roles = {role: [one.key for one in table() if role in one.roles] for role in ROLES}
    assert {"refuge", "fives", "odir200x3", "taop", "amd", "ffa-ir"} == set(roles["unseen"]) and roles["expert"] == ["mm-retinal"]
    assert len(roles["public"]) > 30 and {"messidor2", "fives", "refuge", "20x3", "odir200x3"} <= set(roles["downstream"])


@pytest.mark.parametrize("one", table(), ids=lambda one: one.key)
def test_a_row_is_whole_and_plain(one):
    assert re.fullmatch(r"[a-z0-9-]+", one.key) and one.name and one.task and set(one.roles) <= set(ROLES) and one.roles
    assert set(one.modality.split(", ")) <= {"CFP", "FFA", "OCT"}
    assert one.how.endswith(".") and one.known_from and one.tried.startswith("not tried")
    assert one.home is None or re.fullmatch(r"https?://\S+", one.home)
    for value in (one.pictures, one.rows, one.size):
        assert value is None or value > 0
    assert one.sha256 is None or (re.fullmatch("[0-9a-f]{64}", one.sha256) and one.url)
    said = re.sub(r"\([^)]*\)", "", one.known_from)  # a licence or a citation without a source would be taken for checked
    assert not one.citation or "citation: " in said
    assert not one.license or "terms" in said
    for value in (one.license, one.citation, one.folder):
        assert value is None or value.strip()  # what is not known is null, not an empty word


def test_the_table_is_readable(capsys):
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert said.strip() == list_sets() and max(map(len, said.splitlines())) <= 100
    lines = said[: said.index("\n\n")].splitlines()
    assert len(lines) == len(table()) + 1 and lines[0].startswith("NAME")
    (row,) = [line for line in lines if line.startswith("refuge ")]
    assert "1,200" in row and "unseen+downstream" in row and "by hand" in row
    assert "unseen: unseen test (paper)" in said  # what the short names mean
    assert "not known" in next(line for line in lines if line.startswith("taop"))
    assert main(["show", "FIVES"]) == 0
    said = capsys.readouterr().out
    assert "sha256      none published that is known here" in said and "19688169" in said and "Jin et al." in said
    assert "size        not known" in show("hrf")
    for one in table():
        lines = show(one.key).splitlines()
        assert all(len(line) <= 100 or line.split()[-1].startswith("http") for line in lines)  # an address stays whole
        assert " ".join(one.known_from.split()) in " ".join(" ".join(lines).split())


def test_names_that_are_none(capsys):
    for arguments, words in (
        (["show"], "which data set"),
        (["show", "odi"], "did you mean odir200x3, odir?"),
        (["nothing"], "see `list`"),
        (["show", "!"], "no data set is called '!'"),
    ):
        assert main(arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and words in lines[0]


# -------------------------------------------------------------------------------------------------------------- getting


def test_a_folder_is_looked_through_first(tmp_path, capsys):
    for i in range(3):
        (tmp_path / "mine" / f"{i}").mkdir(parents=True)
        (tmp_path / "mine" / f"{i}" / "x.TIF").write_bytes(b"" if i else b"II*\0")
    assert main(["hrf", "--folder", str(tmp_path / "mine")]) == 0
    assert "mine: found 3 of 45 pictures; 2 of them are empty files" in capsys.readouterr().out
    assert "found 3 of a number not known" in str(get("den", tmp_path / "mine"))
    (tmp_path / "mine" / "0" / "gone.jpg").symlink_to("nowhere")
    assert main(["hrf", "--folder", str(tmp_path / "mine")]) == 0
    assert "found 4 of 45 pictures; 3 of them are empty files" in capsys.readouterr().out
    (tmp_path / "mine" / "0" / "gone.jpg").unlink()
    for i in range(60):
        (tmp_path / "mine" / f"mask{i}.png").write_bytes(b"x")
    assert "found 63 of 45 pictures (masks" in str(get("hrf", tmp_path / "mine"))


def test_by_hand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["refuge"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "by hand: Register" in lines[0] and "https://refuge.grand-challenge.org/" in lines[0]
    assert main(["fives", "--folder", "x"]) == 2  # an address without a checksum is not fetched
    assert "RAR" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_mirror_is_downloaded_checked_and_unpacked(url, tmp_path, capsys):
    folder = tmp_path / "sets" / "mine"
    command = ["odir", "--folder", str(folder), "--url", f"{url}/set.zip", "--sha256", SHA256["set.zip"].upper()]
    assert main(command) == 0
    assert "found 2 of 7,000 pictures; 1 of them are empty files" in capsys.readouterr().out
    assert (folder / "set" / "a.png").read_bytes() == picture() and (folder.parent / "set.zip").is_file()
    assert main(command) == 0  # there already


def test_the_tables_own_address(url, tmp_path, monkeypatch):
    row = {**json.loads(Path(data_sets.__file__).with_name("data_sets.json").read_text())[0], "roles": ("public",)}
    known = {"url": f"{url}/set.zip", "sha256": SHA256["set.zip"]}
    for size in (None, len(FILES["set.zip"])):
        one = data_sets.DataSet(**{**row, **known, "key": "own", "size": size})
        monkeypatch.setattr(data_sets, "find", lambda _, one=one: one)
        assert get("own", tmp_path / f"own{size}", progress=False).pictures == 2
    one = data_sets.DataSet(**{**row, **known, "key": "own", "size": 10})
    monkeypatch.setattr(data_sets, "find", lambda _: one)
    (tmp_path / "set.zip").unlink()
    with pytest.raises(kf.InputError, match="10 bytes expected"):
        get("own", tmp_path / "other", progress=False)


@pytest.mark.parametrize(
    ("name", "checksum", "words"),
    [
        ("evil.zip", "evil.zip", "its member '../evil.png' leads out"),
        ("broken.zip", "broken.zip", "broke 3 times"),
        ("set.zip", "evil.zip", "not the file expected"),
        ("none.zip", "set.zip", "cannot be reached .*404"),
        ("silent.zip", "silent.zip", "does not say how long"),
        ("set.rar", "set.rar", "is a RAR archive: unpack it by hand"),
        ("text.zip", "text.zip", "holds no picture"),
    ],
)
def test_what_fails_says_so_in_one_line_and_unpacks_nothing(url, tmp_path, capsys, name, checksum, words):
    folder = tmp_path / "mine"
    command = ["odir", "--folder", str(folder), "--url", f"{url}/{name}", "--sha256", SHA256[checksum]]
    assert main(command) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(words, last), last
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {name, "mine"} and ("mine" not in left or name == "text.zip")
    assert name in left if name in ("evil.zip", "set.rar", "text.zip") else not left  # only a whole, right archive stays


def test_refusals(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    good = "0" * 64
    for arguments, words in (
        (["--folder", str(tmp_path / "empty")], "empty: holds no picture"),
        (["--folder", str(tmp_path / "file")], "file: is a file"),
        (["--folder", str(tmp_path / "new"), "--url", "http://127.0.0.1:9/x.zip"], "give --url and --sha256"),
        (["--folder", str(tmp_path / "new"), "--sha256", good], "give --url and --sha256"),
        (["--folder", str(tmp_path / "new"), "--url", "http://127.0.0.1:9/x.zip", "--sha256", "abc"], "64 hexadecimal digits"),
        (["--folder", str(tmp_path / "new"), "--url", "file:///etc/passwd", "--sha256", good], "not an address of the web"),
        (["--folder", str(tmp_path / "new"), "--url", "http://127.0.0.1:9/x.zip", "--sha256", good], "cannot be reached"),
    ):
        assert main(["odir", *arguments]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and words in lines[0], lines
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


def test_the_command_line_names_shows_and_refuses(capsys):
    from keepfit_mini.__main__ import main

    assert main(["data", "list"]) == 0
    assert "refuge" in capsys.readouterr().out
    assert main(["data", "show", "refuge"]) == 0
    assert "REFUGE" in capsys.readouterr().out
    assert main(["data", "get"]) == 2
    assert "which data set?" in capsys.readouterr().err
