"""Manifests and batches: what reads, what is refused (file, row, mend), and chance that is keyed."""

import numpy as np
import pytest
import torch
from PIL import Image

import keepfit_mini as kf
from keepfit_mini.data import Pictures, Visits, collate, cuts
from keepfit_mini.manifests import exclude_categories, keep_share, read_manifest, read_manifests
from keepfit_mini.pictures import drop_undecodable, read_picture


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    return tmp_path


def write(folder, text, name="m.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_manifest_of_ours(folder):
    frame = read_manifest(write(folder, "image,label,text\na.png,drusen; macular hole,\nb.png,,a caption\n"))
    assert frame["labels"].tolist() == [["drusen", "macular hole"], []]
    assert frame["text"].tolist() == ["", "a caption"] and frame["row"].tolist() == [2, 3]
    assert frame["image"][0] == str(folder / "a.png") and frame["modality"].tolist() == ["CFP", "CFP"]


def test_frames_of_the_authors(folder):
    labels = write(folder, ",image,atributes,categories\n0,a.png,['noisy'],\"['laser spot', 'drusen']\"\n", "l.csv")
    frame = read_manifest(labels, "label")
    assert frame["labels"][0] == ["laser spot", "drusen"] and frame["attributes"][0] == ["noisy"]
    captions = write(folder, ",image,caption\n0,a.png,Choroidal atrophy is seen\n", "c.csv")
    assert read_manifest(captions, "text")["text"][0] == "Choroidal atrophy is seen"
    both = read_manifests([labels, captions])
    assert both["file"].tolist() == [str(labels), str(captions)]


@pytest.mark.parametrize(
    ("text", "need", "words"),
    [
        ("", None, ["empty"]),
        ("image,label\n", None, ["no rows"]),
        ("picture,label\na.png,x\n", None, ["no column `image`"]),
        ("image,source\na.png,x\n", None, ["no column `label` or `text`"]),
        ("image,label\na.png,x\nnone.png,x\n", None, ["row 3", "none.png", "missing"]),
        ("image,label\na.png,x\n,x\n", None, ["row 3", "empty"]),
        ("image,label\na.png,x\nb.png,\n", "label", ["row 3", "no label"]),
        ("image,label\na.png,x\n", "text", ["row 2", "no text"]),
        ("image,label\na.png,x,y,z\nb.png,x\n", None, ["more cells"]),
        ("image,label\na.png,x\nb.png,x,y\n", None, ["line 3"]),
        ("image,atributes,categories\na.png,[],__import__('os').abort()\n", None, ["row 2", "not a list"]),
        ('image,atributes,categories\na.png,[],"[1, 2]"\n', None, ["row 2", "not a list"]),
    ],
)
def test_bad_manifests_name_file_row_and_mend(folder, text, need, words):
    with pytest.raises(kf.InputError) as error:
        read_manifest(write(folder, text), need)
    assert all(word in str(error.value) for word in ["m.csv", *words]), error.value
    assert "\n" not in str(error.value)


def test_rows_are_counted_as_a_spreadsheet_does_and_headers_are_forgiven(folder):
    with pytest.raises(kf.InputError, match="row 4"):
        read_manifest(write(folder, "image,label\na.png,x\n\nb.png,\n\n"), "label")
    assert read_manifest(write(folder, "Image, Label\na.png,x\n\n"))["labels"].tolist() == [["x"]]
    with pytest.raises(kf.InputError, match="found: image;label"):
        read_manifest(write(folder, "image;label\na.png;x\n"))
    with pytest.raises(kf.InputError, match="row 2.*missing"):
        read_manifest(write(folder, f"image,text\n{'a very long caption ' * 40},a.png\n"))


def test_files_that_are_no_csv(folder):
    for path in (folder / "none.csv", folder):
        with pytest.raises(kf.InputError, match="no such manifest"):
            read_manifest(path)
    (folder / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(kf.InputError, match="binary.csv"):
        read_manifest(folder / "binary.csv")


def test_excluded_categories(folder, capsys):
    path = write(folder, "image,label\na.png,Pathologic Myopia\nb.png,drusen;myopic maculopathy\nc.png,drusen\n")
    assert exclude_categories(read_manifest(path), ["myop"])["row"].tolist() == [4]
    assert "2 public rows whose label contains 'myop'" in capsys.readouterr().err
    with pytest.raises(kf.InputError, match="commas"):
        exclude_categories(read_manifest(path), ["myop,glaucoma"])


def test_undecodable_headers(folder, capsys):
    frame = read_manifest(write(folder, "image,label\na.png,x\nbroken.png,x\nb.png,x\n"))
    assert drop_undecodable(frame, max_bad=0.5)["row"].tolist() == [2, 4]
    assert "row 3" in capsys.readouterr().err
    with pytest.raises(kf.InputError, match="row 3.*--max-bad"):
        drop_undecodable(frame, max_bad=0.1)


def test_fit_square_keeps_the_aspect_and_pads_right_and_bottom():
    picture = torch.full((3, 20, 10), 255, dtype=torch.uint8)
    pixels = kf.fit_square(picture, 40)
    assert pixels.shape == (3, 40, 40) and pixels[:, :, :20].min() > 0.99 and pixels[:, :, 20:].max() == 0
    assert kf.fit_square(torch.zeros(3, 1, 500, dtype=torch.uint8), 32).shape == (3, 32, 32)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16"])
def test_any_kind_of_picture_reads_as_rgb(tmp_path, mode):
    name = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new(mode, (7, 5)).save(name)
    assert read_picture(name).shape == (3, 5, 7)


def test_sixteen_bits_become_eight_and_a_turned_photograph_upright(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert (read_picture(tmp_path / "deep.png")[0, 0] - torch.arange(256)).abs().max() <= 1
    exif = Image.Exif()
    exif[274] = 6  # the camera was held upright
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").shape == (3, 8, 4)


def frame_of(folder, rows=6):
    lines = [f"{'abc'[i % 3]}.png,{'drusen;normal' if i % 2 else 'normal'},caption {i}" for i in range(rows)]
    return read_manifest(write(folder, "image,label,text\n" + "\n".join(lines)))


def test_a_visit_depends_on_seed_epoch_and_row_alone(folder):
    frame = frame_of(folder)
    one = Pictures(frame, 32, seed=1, prompts=True, augmented=True)
    two = Pictures(frame, 32, seed=1, prompts=True, augmented=True)
    for row in (5, 0, 3):
        two[(0, row)]  # another history
    torch.manual_seed(99)
    state = torch.get_rng_state()
    first = one[(4, 3)]
    assert torch.equal(state, torch.get_rng_state())
    again = two[(4, 3)]
    assert torch.equal(first["image"], again["image"]) and first["text"] == again["text"]
    assert len({one[(epoch, 3)]["image"].sum().item() for epoch in range(12)}) > 4
    assert {one[(epoch, 3)]["category"] for epoch in range(12)} == {"drusen", "normal"}
    assert not torch.equal(first["image"], Pictures(frame, 32, 2, True, True)[(4, 3)]["image"])


def test_experts_are_not_augmented_and_speak_their_own_text(folder):
    experts = Pictures(frame_of(folder), 32, seed=1, prompts=False, augmented=False)
    assert torch.equal(experts[(0, 2)]["image"], experts[(7, 2)]["image"])
    assert experts[(0, 2)]["text"] == "caption 2"


def test_collate_sets_broken_pictures_aside(folder):
    frame = read_manifest(write(folder, "image,label\na.png,x\nbroken.png,y\n"))
    batch = collate([Pictures(frame, 32, 0, True, True)[(0, row)] for row in range(2)])
    assert batch["image"].shape == (1, 3, 32, 32) and batch["category"] == ["x"] and batch["bad"][0][0] == 1


def test_public_rows_come_once_an_epoch_and_experts_with_replacement():
    epochs = [[row for batch in Visits(10, cuts(10, 4), 0, epoch, False) for _, row in batch] for epoch in (0, 1)]
    assert [end - begin for begin, end in cuts(9, 4)] == [4, 5]  # never a batch of one
    assert cuts(1, 4) == [(0, 1)] and cuts(9, 4, first=8) == [(8, 9)] and cuts(14, 4, least=3) == [(0, 4), (4, 8), (8, 14)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10)) and epochs[0] != epochs[1]
    later = Visits(10, cuts(10, 4, first=4), 0, 1, False)
    assert [row for batch in later for _, row in batch] == epochs[1][4:]  # a resume goes on at the right row
    experts = list(Visits(3, [(0, 4), (4, 8), (8, 12)], 0, 0, True))
    assert [len(batch) for batch in experts] == [4, 4, 4]


def test_a_share_of_the_rows_is_the_same_again_and_nested(drawn):
    frame = kf.read_manifest(drawn["public"], "label")
    parts = {share: keep_share(frame, share, seed=4) for share in (0.1, 0.25, 1.0)}
    rows = {share: part["row"].tolist() for share, part in parts.items()}
    assert [len(r) for r in rows.values()] == [24, 60, 240] and all(r == sorted(r) for r in rows.values())
    assert set(rows[0.1]) < set(rows[0.25]) < set(rows[1.0])
    assert keep_share(frame, 0.1, seed=4)["row"].tolist() == rows[0.1] != keep_share(frame, 0.1, seed=5)["row"].tolist()
    assert len(keep_share(frame, 1e-9, seed=4)) == 2
    for bad in (0.0, 1.5):
        with pytest.raises(kf.InputError, match="public_share"):
            kf.TrainConfig(public_share=bad)
