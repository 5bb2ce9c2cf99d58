import pytest

from fairseq_specdec.engine.native import library as native
from fairseq_specdec.engine.native import missing


@pytest.fixture
def folder(tmp_path, monkeypatch, caplog):
    """A folder without libraries in the place of the package's; records start empty."""
    monkeypatch.setattr(missing, "FOLDER", tmp_path)
    return tmp_path


def tell(caplog, chosen, interface=native.INTERFACE):
    missing.tell_what_is_missing(["avx512", "avx2", "portable"], chosen, interface)
    return " ".join(caplog.messages)


def test_nothing_is_told_where_the_best_library_runs(folder, caplog):
    assert tell(caplog, "avx512") == ""


def test_the_path_that_runs_and_the_reasons_of_the_build_are_told(folder, caplog):
    (folder / missing.NOTE).write_text("avx512: command 'g++' failed: No such file\navx2: bad value for -march\n")
    told = tell(caplog, None)
    assert told.startswith("Layers are run by torch, with the same output and slower")
    assert "(avx512: command 'g++' failed: No such file; avx2: bad value for -march; portable: it was not" in told
    assert "Install a C++ compiler" in told


def test_a_lesser_library_is_told_with_what_the_better_ones_lack(folder, caplog):
    (folder / missing.NOTE).write_text("avx2: bad value for -march\n")
    told = tell(caplog, "portable")
    assert told.startswith("Layers are run by the portable library")
    assert "(avx512: it was not compiled; avx2: bad value for -march)" in told


def test_a_library_that_does_not_load_or_has_another_interface_is_told(folder, caplog):
    (folder / "_native_avx512.so").write_bytes(b"no library")
    (folder / "_native_avx2.so").symlink_to(native.Path(native.__file__).with_name("_native_portable.so"))
    told = tell(caplog, None, interface=-1)
    assert "avx512: " in told and "_native_avx512.so: file too short" in told
    assert f"_native_avx2.so was compiled from other sources (interface {native.INTERFACE}, not -1)" in told


def test_the_first_use_tells_and_the_next_ones_do_not(monkeypatch, caplog):
    monkeypatch.setattr(native, "load", lambda name: None)
    native.library.cache_clear()
    try:
        assert native.library() is None and native.layers_by() == "torch"
        assert len(caplog.messages) == 1
    finally:
        native.library.cache_clear()


def test_layers_left_to_torch_by_wish_are_no_warning(monkeypatch, caplog):
    monkeypatch.setenv(native.DISABLE, "1")
    native.library.cache_clear()
    try:
        assert native.library() is None and not caplog.messages
    finally:
        native.library.cache_clear()
