"""The user's models: added, fetched over a connection that fails, described and removed."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("onnx")

import foreign

from mattecast.commands.cli import main
from mattecast.engines import EngineError, catalogue, find, library
from mattecast.engines.catalogue import CATALOGUE, WellKnown
from mattecast.engines.download import download


def refused(*names, **more):
    raise OSError(30, "Read-only file system")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty models folder."""
    monkeypatch.setenv("MATTECAST_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def server():
    """Serves `files` on the loopback; `cuts` connections end after half of what they should send,
    `resumes` False ignores ranges, and `ranges` notes what was asked for."""
    state = SimpleNamespace(files={}, cuts=0, resumes=True, ranges=[])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = state.files.get(self.path)
            if content is None:
                return self.send_error(404)
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            start = int(asked[6:-1]) if asked and state.resumes else 0
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                return self.end_headers()
            self.send_response(206 if start else 200)
            rest = content[start:]
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            if state.cuts:
                state.cuts -= 1
                rest = rest[: len(rest) // 2]
            self.wfile.write(rest)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        worker = threading.Thread(target=http.serve_forever)
        worker.start()
        state.address = f"http://127.0.0.1:{http.server_port}"
        yield state
        http.shutdown()
        worker.join()


CONTENT = bytes(range(256)) * 4000


def test_a_download_is_whole_and_says_how_far_it_is(server, tmp_path):
    server.files["/a"] = CONTENT
    seen = []
    found = download(
        f"{server.address}/a",
        tmp_path / "new" / "a",
        sha256=sha(CONTENT),
        progress=lambda *at: seen.append(at),
    )
    assert (tmp_path / "new" / "a").read_bytes() == CONTENT and found == sha(CONTENT)
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 2
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_a_cut_connection_is_taken_up_again(server, tmp_path):
    server.files["/a"], server.cuts = CONTENT, 2
    download(f"{server.address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert server.ranges == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_what_came_is_kept_for_the_next_call(server, tmp_path):
    server.files["/a"], server.cuts = CONTENT, 99
    with pytest.raises(EngineError, match="run the command again") as caught:
        download(f"{server.address}/a", tmp_path / "a")
    assert str(tmp_path / "a") in str(caught.value)
    assert not (tmp_path / "a").exists() and (tmp_path / "a.part").stat().st_size > 0
    server.cuts = 0
    download(f"{server.address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_server_that_cannot_resume(server, tmp_path):
    server.files["/a"], server.resumes = CONTENT, False
    (tmp_path / "a.part").write_bytes(CONTENT[:1000])
    download(f"{server.address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_part_of_another_file(server, tmp_path):
    """Longer than what it should become part of."""
    server.files["/a"] = CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT + b"more")
    download(f"{server.address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_two_at_once_make_no_mixed_file(server, tmp_path):
    server.files["/a"] = CONTENT
    part = tmp_path / "a.part"

    def other(done, total):
        with part.open("ab") as file:
            file.write(b"of the other one")

    with pytest.raises(EngineError, match="another process is fetching the same file"):
        download(f"{server.address}/a", tmp_path / "a", progress=other)
    assert not list(tmp_path.iterdir())


def test_a_part_that_is_whole_already(server, tmp_path):
    server.files["/a"] = CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT)
    download(f"{server.address}/a", tmp_path / "a", sha256=sha(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_another_file_than_expected_is_not_kept(server, tmp_path):
    server.files["/a"] = CONTENT
    with pytest.raises(EngineError, match=f"SHA-256 is {sha(CONTENT)}, expected 00"):
        download(f"{server.address}/a", tmp_path / "a", sha256="00")
    assert not list(tmp_path.iterdir())


def test_no_such_file_and_no_network(server, tmp_path):
    with pytest.raises(EngineError, match=r"\(HTTP 404\)"):
        download(f"{server.address}/none", tmp_path / "a")
    with pytest.raises(EngineError, match=r"fetched \(Connection refused\); .* put it at"):
        download("http://127.0.0.1:9/a", tmp_path / "a")


@pytest.fixture
def row(server, folder, tmp_path, monkeypatch):
    """A row of the table whose file is on the loopback."""
    content = foreign.segmentation(tmp_path / "source.onnx").read_bytes()
    server.files["/m.onnx"] = content
    row = WellKnown(
        "small",
        "a test",
        "MIT",
        "https://example.org",
        f"{server.address}/m.onnx",
        len(content),
        sha(content),
        {"mean": [1, 2, 3]},
    )
    monkeypatch.setitem(catalogue.CATALOGUE, "small", row)
    return row


def test_a_pulled_model_is_run_by_its_name(row, folder, capsys):
    assert main(["models", "pull", "small"]) == 0
    out, err = capsys.readouterr()
    assert "as its distributor states" in out and "licence: MIT" in out and "under MIT" in err
    spec = find("small")
    assert spec.path == folder / "small.onnx" and spec.mean == (1, 2, 3)
    assert main(["models", "info", "small"]) == 0
    assert row.sha256 in capsys.readouterr().out


def test_without_a_stated_hash_it_is_called_unverified(row, monkeypatch, capsys):
    monkeypatch.setitem(catalogue.CATALOGUE, "small", replace(row, sha256=None))
    assert main(["models", "pull", "small"]) == 0
    assert "unverified" in capsys.readouterr().out


def test_a_wrong_hash_ends_the_command(row, monkeypatch, folder, capsys):
    monkeypatch.setitem(catalogue.CATALOGUE, "small", replace(row, sha256="0" * 64))
    assert main(["models", "pull", "small"]) == 1
    assert "nothing was kept" in capsys.readouterr().err and not (folder / "small.onnx").exists()


def test_a_file_that_is_no_network_does_not_stay(row, server, monkeypatch, folder, capsys):
    server.files["/m.onnx"] = b"<html>log in first</html>"
    monkeypatch.setitem(catalogue.CATALOGUE, "small", replace(row, sha256=None))
    assert main(["models", "pull", "small"]) == 1
    (_, line) = capsys.readouterr().err.splitlines()
    assert "small.onnx: not an ONNX network" in line and not list(folder.iterdir())


def test_offline_it_says_where_to_put_the_file(row, monkeypatch, folder, capsys):
    offline = replace(row, address="http://127.0.0.1:9/m.onnx")
    monkeypatch.setitem(catalogue.CATALOGUE, "small", offline)
    assert main(["models", "pull", "small"]) == 1
    assert f"put it at {folder / 'small.onnx'}" in capsys.readouterr().err


def test_add_list_and_remove(folder, tmp_path, capsys):
    path = foreign.rvm(tmp_path / "mine.onnx")
    path.with_suffix(".int8.onnx").write_bytes(path.read_bytes())  # belongs to it, and is no model
    assert main(["models", "add", str(path), "--name", "other"]) == 0
    assert "the rvm family" in capsys.readouterr().out
    assert main(["models", "list"]) == 0
    listed = capsys.readouterr().out
    assert "other  added" in listed and "int8" not in listed
    assert find("other").family == "rvm" and find("other").quantised.is_file()
    assert main(["models", "remove", "other"]) == 0 and not list(folder.glob("other*"))
    with pytest.raises(EngineError, match="models list"):
        find("other")


def test_what_cannot_run_is_not_added(folder, tmp_path, capsys):
    path = foreign.classifier(tmp_path / "c.onnx")
    assert main(["models", "add", str(path)]) == 1
    assert "mattecast knows no such network" in capsys.readouterr().err
    assert not folder.exists()


def test_a_name_of_the_table_says_how_to_get_it(row, folder):
    with pytest.raises(EngineError, match="'small' is not here yet: `mattecast models pull small`"):
        find("small")


def test_a_file_put_there_by_hand_is_as_good(row, server, folder, tmp_path, monkeypatch, capsys):
    """With what the table knows of it, and without the network."""
    folder.mkdir()
    (folder / "small.onnx").write_bytes(server.files["/m.onnx"])
    server.files.clear()
    assert find("small").mean == (1, 2, 3)
    assert main(["models", "pull", "small"]) == 0
    assert "as its distributor states" in capsys.readouterr().out
    monkeypatch.setitem(catalogue.CATALOGUE, "small", replace(row, sha256="0" * 64))
    assert main(["models", "pull", "small"]) == 1
    assert (
        f"expected {'0' * 64}; remove it with `mattecast models remove small`"
        in capsys.readouterr().err
    )


def test_what_came_of_a_file_can_be_removed(row, server, folder, capsys):
    server.cuts = 99
    assert main(["models", "pull", "small"]) == 1 and list(folder.iterdir())
    assert main(["models", "remove", "small"]) == 0 and not list(folder.iterdir())


def test_a_network_that_takes_the_place_of_another(folder, tmp_path):
    """Nothing of the first one may amend it."""
    first, second = (foreign.modnet(tmp_path / name) for name in ("first.onnx", "second.onnx"))
    first.with_suffix(".json").write_text('{"mean": [1, 2, 3]}')
    assert library.add(first, "mine").mean == (1, 2, 3)
    assert library.add(second, "mine").mean == (127.5,) * 3


def test_weights_in_a_file_of_their_own(folder, tmp_path, capsys):
    """Run where they are, a change of them seen; but nothing half is added."""
    import onnx

    path = tmp_path / "wide.onnx"
    onnx.save(
        onnx.load(foreign.modnet(path)),
        path,
        save_as_external_data=True,
        location="wide.onnx.data",
        size_threshold=0,
    )
    before = find(str(path)).sha256
    assert main(["models", "add", str(path)]) == 1
    assert "save it as one file" in capsys.readouterr().err and not list(folder.iterdir())
    weights = tmp_path / "wide.onnx.data"
    weights.write_bytes(bytes(weights.stat().st_size))
    assert find(str(path)).sha256 != before


def test_a_folder_for_reading_only(folder, tmp_path, monkeypatch, capsys):
    library.add(foreign.modnet(tmp_path / "mine.onnx"))
    monkeypatch.setattr(Path, "unlink", refused)
    assert main(["models", "remove", "mine"]) == 1
    assert "cannot be removed (Read-only file system)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["default", "../x", "", "a/b"])
def test_names_stay_inside_the_folder(folder, name):
    with pytest.raises(EngineError, match="use letters without"):
        library.remove(name)


def test_the_table_is_what_it_says():
    for name, row in CATALOGUE.items():
        assert row.name == name and row.licence and row.page.startswith("https://")
        assert row.address is None or row.address.endswith(".onnx")
        assert row.sha256 is None or len(row.sha256) == 64


def test_built_engines_by_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MATTECAST_CACHE", str(tmp_path))
    assert main(["engines", "build", "--for", "64x64"]) == 0
    told = capsys.readouterr().out
    # At its own size, and at the fine scale for so small a picture.
    assert "default at 64x64 on openvino" in told and "default at 128x128 on openvino" in told
    both = list(Path(tmp_path / "engines").glob("*.engine"))
    engine = both[0]
    assert main(["engines", "list"]) == 0
    told = capsys.readouterr().out
    assert len(both) == 2 and all(each.stem in told for each in both)
    for damage in (engine, engine.with_suffix(".json")):
        damage.write_bytes(b"")
        assert main(["engines", "verify"]) == 0
        assert "damaged and removed" in capsys.readouterr().out
        assert main(["engines", "build", "--for", "64x64"]) == 0
        capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        assert main(["engines", "prune"]) == 1
    assert "nothing can be removed (Read-only file system)" in capsys.readouterr().err
    assert main(["engines", "prune"]) == 0
    assert "2 engines removed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ["prune", "--limit", "nan"],
        ["prune", "--limit", "-1"],
        ["build", "--network-size", "0"],
        ["build", "--for", "wide"],
    ],
)
def test_wrong_requests_about_built_engines(wrong, capsys):
    assert main(["engines", *wrong]) == 2
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 1 and "should not happen" not in err
