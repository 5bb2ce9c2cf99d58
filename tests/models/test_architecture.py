import pytest
from fairseq.models import ARCH_MODEL_REGISTRY

import fairseq_specdec
from fairseq_specdec.config import OptionError
from fairseq_specdec.engine.support import UnsupportedModelError
from fairseq_specdec.models.architecture import why_not_architecture
from tests import tiny


@pytest.mark.parametrize("arch", ["transformer", "transformer_iwslt_de_en", "bart_large", "transformer_align"])
def test_transformers_with_encoder_and_decoder_are_looked_at_once_they_are_built(arch):
    assert why_not_architecture(arch) == []


@pytest.mark.parametrize("arch", ["lstm", "fconv", "fconv_self_att", "transformer_lm", "lightconv_lm", "roberta_base"])
def test_others_are_refused_by_name(arch):
    (reason,) = why_not_architecture(arch)
    assert reason.startswith("its decoder must be fairseq's TransformerDecoder") and arch in reason


def test_an_architecture_from_elsewhere_may_be_anything(monkeypatch):
    monkeypatch.setitem(ARCH_MODEL_REGISTRY, "ours", type("Ours", (), {"__module__": "user.models"}))
    assert why_not_architecture("ours") == []
    assert "needs the --user-dir" in why_not_architecture("theirs")[0]
    assert "no options of a model" in why_not_architecture(None)[0]


@pytest.fixture(scope="module")
def fconv(data_bin, tmp_path_factory):
    return tiny.save_random(tmp_path_factory.mktemp("fconv") / "fconv.pt", data_bin, arch="fconv_iwslt_de_en")


def forbid_building(monkeypatch):
    def build_model(cls, args, task):
        raise AssertionError("it was built")

    monkeypatch.setattr(ARCH_MODEL_REGISTRY["fconv"], "build_model", classmethod(build_model))


def test_where_the_engine_alone_will_do_it_is_refused_before_it_is_built(monkeypatch, data_bin, fconv, tmp_path):
    forbid_building(monkeypatch)
    with pytest.raises(UnsupportedModelError, match="architecture fconv"):
        fairseq_specdec.load(fconv, data_bin)
    task = ["--task", "translation_specdec", "--drafter", "ngram"]
    with pytest.raises(OptionError, match="--drafter ngram needs .*architecture fconv"):
        tiny.fairseq_generate(data_bin, fconv, tmp_path, *task)
