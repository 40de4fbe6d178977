"""`mattecast hosts`: plug-ins are built, put in their places, found there and checked."""

import sys

import pytest
from commands import call, entries

from mattecast.hosts.plugins import NAMES, find


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty home, and no variables that lead elsewhere."""
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_every_plugin_is_listed():
    listed = call("hosts", "list").out
    for plugin in map(find, NAMES):
        assert f"{plugin.name}: {plugin.title}" in listed


@pytest.mark.parametrize("name", NAMES)
def test_builds_into_a_folder(name, tmp_path):
    result = call("hosts", "build", name, "--into", tmp_path / "new")
    assert result.code == 0 and len(entries(tmp_path / "new")) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_system_has_a_place(name):
    assert {"linux", "darwin", "win32"} <= find(name).folders.keys()


def test_the_script_of_obs_is_installed_checked_and_renewed(tmp_path):
    assert "not installed" in call("hosts", "check", "obs").out
    installed = call("hosts", "install", "obs")
    path = tmp_path / "xdg_data_home" / "mattecast" / "obs" / "mattecast_obs.py"
    assert installed.code == 0 and "Tools, Scripts" in installed.out
    if sys.platform == "linux":
        assert path.is_file() and call("hosts", "check", "obs").code == 0
        path.write_text("old")
        assert "another version" in call("hosts", "check", "obs").out
        call("hosts", "install", "obs")
        assert "another version" not in call("hosts", "check", "obs").out


def test_every_version_of_a_host_gets_the_plugin(tmp_path):
    from dataclasses import replace

    pattern = str(tmp_path / "host" / "*" / "plugins")
    plugin = replace(find("obs"), folders={sys.platform: (pattern,)})
    assert plugin.places() == []
    for version in ("4.2", "5.0"):
        (tmp_path / "host" / version).mkdir(parents=True)
    lines = list(plugin.install())
    assert len(lines) == 3 and "4.2" in lines[0] and "5.0" in lines[1]


def test_a_host_that_is_not_here(tmp_path):
    refused = call("hosts", "install", "blender")
    refused.refuses(2, "start Blender once", "--into", str(tmp_path))
    assert "$" not in refused.err and "*" not in refused.err


def test_a_folder_in_which_gstreamer_looks(tmp_path):
    call("hosts", "install", "gstreamer", "--into", tmp_path / "deep").refuses(2, "deep/python")
    assert not (tmp_path / "deep").exists()
    installed = call("hosts", "install", "gstreamer", "--into", tmp_path / "deep" / "python")
    assert f"set GST_PLUGIN_PATH to {tmp_path / 'deep'};" in installed.out


def test_bad_requests(tmp_path):
    (tmp_path / "file").write_text("")
    call("hosts", "build", "obs", "--into", tmp_path / "file").refuses(1, "file")
    call("hosts", "install", "obs", "--into", tmp_path / "file").refuses(1, "file")
    call("hosts", "install", "cinelerra").refuses(2, "cinelerra")
