import os

import pytest

from fairseq_specdec.files import write_text, write_whole


def test_a_file_has_its_text_and_the_rights_of_any_new_file(tmp_path):
    write_text(tmp_path / "out.json", "ä\n")
    (tmp_path / "other").touch()
    assert (tmp_path / "out.json").read_text("utf-8") == "ä\n"
    assert (tmp_path / "out.json").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["other", "out.json"]


@pytest.mark.parametrize("name", ["out.json", "out.json.part"])
def test_links_are_not_followed(tmp_path, name):
    """Somebody else can leave one in a folder that is shared, where the name that is coming can be guessed."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / name).symlink_to(victim)
    write_text(tmp_path / "out.json", "new")
    assert victim.read_text() == "precious"
    assert (tmp_path / "out.json").read_text() == "new"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "out.json", "old")

    def full(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "out.json", full)
    assert (tmp_path / "out.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["out.json"]
