import sys

import pytest

from fairseq_specdec.bench.build import build_systems
from fairseq_specdec.bench.names import Wanted
from fairseq_specdec.bench.systems import FairseqSystem
from fairseq_specdec.config import OptionError
from tests import tiny
from tests.bench.test_systems import decode


def build(loaded, **options):
    label = ":".join(["ctranslate2", *(f"{name}={value}" for name, value in options.items())])
    beam = int(options.pop("beam", 1))
    (system,) = build_systems([Wanted(label, "ctranslate2", beam, options)], loaded, 1)
    return system


@pytest.fixture(scope="module")
def installed():
    return pytest.importorskip("ctranslate2")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("options", [(), ("--max-len-a", "0.5", "--max-len-b", "2"), ("--min-len", "9")])
def test_converted_model_gives_fairseqs_tokens(load, size, options):
    loaded, data = load("--limit", "20", *options)
    system = build(loaded)
    assert decode(system, data, size) == decode(FairseqSystem("fairseq", loaded), data, size)
    assert (system.dtype, system.note) == ("float32", None)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("form", ["old", "learned", "pre_norm"])
def test_checkpoints_of_other_forms_are_converted(load, data_bin, tmp_path, form):
    path = tmp_path / "other.pt"
    if form == "old":
        model, cfg = tiny.build_model(data_bin)
        tiny.liven(model, tiny.read_dictionaries(data_bin)[0])
        tiny.save_checkpoint(path, model, cfg, as_args=True)
    elif form == "learned":
        tiny.save_verifier(path, data_bin, encoder_learned_pos=True, decoder_learned_pos=True, activation_fn="gelu")
    else:
        tiny.save_verifier(path, data_bin, encoder_normalize_before=True, decoder_normalize_before=True)
    loaded, data = load("--limit", "16", path=path)
    assert decode(build(loaded), data) == decode(FairseqSystem("fairseq", loaded), data)


@pytest.mark.usefixtures("installed")
def test_kinds_of_system_are_told_apart(load):
    loaded, data = load("--limit", "8")
    system = build(loaded, compute="int8", beam="2")
    assert (system.dtype, system.note) == ("int8", "beam 2, weights in int8")
    assert all(tokens[-1] == loaded.task.target_dictionary.eos() for tokens in decode(system, data).values())


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compute": "int3"}, "--systems ctranslate2:compute=int3: compute must be one of .*float32.* here, got int3"),
        ({"beta": "3"}, "unknown option 'beta'. .*Known: compute"),
    ],
)
def test_option_that_cannot_be_honoured_is_refused(load, options, message):
    with pytest.raises(OptionError, match=message):
        build(load()[0], **options)


@pytest.mark.usefixtures("installed")
def test_generation_options_that_it_has_not_are_refused(load):
    with pytest.raises(OptionError) as refused:
        build(load("--unkpen", "1", "--prefix-size", "2")[0])
    assert [reason.split(" cannot")[0] for reason in refused.value.reasons] == [
        "--systems ctranslate2: --prefix-size",
        "--systems ctranslate2: --unkpen",
    ]


@pytest.mark.usefixtures("installed")
def test_model_that_cannot_be_converted_is_refused(load, data_bin, tmp_path):
    path = tiny.save_verifier(tmp_path / "odd.pt", data_bin, encoder_normalize_before=True)
    with pytest.raises(OptionError, match="CTranslate2 cannot convert --path .*encoder-normalize-before"):
        build(load(path=path)[0])


@pytest.mark.usefixtures("installed")
def test_its_process_says_what_went_wrong_and_goes_on(load):
    loaded, data = load("--limit", "4")
    system = build(loaded)
    with pytest.raises(RuntimeError, match=r"TypeError: translate_batch\(\): incompatible"):
        system._translator.translate_batch([["a"]], no_such_option=1)
    assert len(decode(system, data)) == 4
    system._translator.close()
    with pytest.raises((RuntimeError, ValueError)):
        decode(system, data)


@pytest.mark.usefixtures("installed")
def test_a_process_that_dies_is_an_error(load):
    system = build(load("--limit", "4")[0])
    system._translator._process.kill()
    with pytest.raises(RuntimeError, match="CTranslate2's process ended with status -9"):
        for _ in range(3):  # what is written first may still fit into the pipe
            system._translator.translate_batch([["a"]])


def test_missing_package_names_the_extra(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(OptionError, match=r'--systems ctranslate2 needs .*pip install "fairseq-specdec\[bench\]"'):
        build(load()[0])


@pytest.mark.usefixtures("installed")
def test_its_process_takes_no_module_from_the_current_folder(load, tmp_path, monkeypatch):
    loaded, data = load("--limit", "4")
    for name in ("pickle", "runpy", "ctranslate2", "subprocess"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    assert len(decode(build(loaded), data)) == 4
    assert not (tmp_path / "ran").exists()
