"""Files are written as a whole or not at all, and nothing is left beside them."""

import os

import pytest

from fairseq_specdec.files import why_not_file, write_whole


def text(words):
    return lambda file: file.write_text(words, "utf-8")


def test_a_file_is_replaced_and_keeps_its_rights(tmp_path):
    path = tmp_path / "out.json"
    write_whole(str(path), text("first"))
    assert path.stat().st_mode & 0o777 == 0o666 & ~_mask()
    path.chmod(0o640)
    write_whole(str(path), text("second"))
    assert (path.read_text("utf-8"), path.stat().st_mode & 0o777) == ("second", 0o640)
    assert os.listdir(tmp_path) == ["out.json"]


def _mask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there_and_nothing_beside_it(tmp_path, error):
    def fail(file):
        file.write_text("a par", "utf-8")
        raise error

    path = tmp_path / "out.json"
    path.write_text("old", "utf-8")
    with pytest.raises(error):
        write_whole(str(path), fail)
    assert path.read_text("utf-8") == "old"
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_link_with_the_name_of_what_is_written_first_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("untouched", "utf-8")
    (tmp_path / "out.json.part").symlink_to(tmp_path / "victim")
    write_whole(str(tmp_path / "out.json"), text("new"))
    assert (tmp_path / "victim").read_text("utf-8") == "untouched"


def test_what_a_link_leads_to_is_written_and_devices_stay_what_they_are(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "there.json")
    write_whole(str(tmp_path / "link.json"), text("new"))
    assert (tmp_path / "there.json").read_text("utf-8") == "new"
    assert (tmp_path / "link.json").is_symlink()
    write_whole(os.devnull, text("new"))
    assert not os.path.isfile(os.devnull)


def test_what_could_not_be_written_is_known_before(tmp_path, monkeypatch):
    assert why_not_file(str(tmp_path / "new.json")) is None
    assert why_not_file(os.devnull) is None
    assert "is a folder: name a file in it" in why_not_file(str(tmp_path))
    assert "must be in an existing folder" in why_not_file(str(tmp_path / "none" / "new.json"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # rights do not bind who runs tests as root
    assert "cannot be written there" in why_not_file(str(tmp_path / "new.json"))
