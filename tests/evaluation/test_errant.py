import sys
from types import ModuleType, SimpleNamespace

import pytest

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.errant import errant


class Annotator:
    """Stands for errant's: every replaced word is an edit."""

    def parse(self, text):
        assert text.split(), "errant is not asked about empty sentences"
        return text.split()

    def annotate(self, source, text):
        words = zip(source, text, strict=True)
        return [SimpleNamespace(o_start=i, o_end=i + 1, c_str=new) for i, (old, new) in enumerate(words) if old != new]


@pytest.fixture
def fake_errant(monkeypatch):
    """Put a module in errant's place; returns it."""
    module = ModuleType("errant")
    module.load = lambda lang: Annotator()
    monkeypatch.setitem(sys.modules, "errant", module)
    return module


def test_edits_of_hypothesis_and_reference_are_compared(fake_errant):
    scores = errant(["x b z", "a"], [["x y c", "a"]], ["a b c", "a"])
    assert scores == pytest.approx({"p": 50.0, "r": 50.0, "f0.5": 50.0})


def test_same_words_at_another_place_or_another_correction_do_not_match(fake_errant):
    assert errant(["x a"], [["a x"]], ["a a"])["p"] == 0
    assert errant(["x a"], [["y a"]], ["a a"])["p"] == 0


def test_reference_that_agrees_best_counts(fake_errant):
    assert errant(["x b"], [["a y"], ["x b"]], ["a b"]) == {"p": 100.0, "r": 100.0, "f0.5": 100.0}


def test_unchanged_text_finds_nothing(fake_errant):
    assert errant(["a b"], [["x b"]], ["a b"]) == {"p": 100.0, "r": 0.0, "f0.5": 0.0}


def test_empty_hypothesis_is_one_deletion_and_empty_source_one_insertion(fake_errant):
    assert errant([""], [["x b"]], ["a b"]) == {"p": 0.0, "r": 0.0, "f0.5": 0.0}
    assert errant(["x b"], [["x b"]], [""]) == {"p": 100.0, "r": 100.0, "f0.5": 100.0}


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "errant", None)
    with pytest.raises(OptionError, match="must have the package errant, got none: pip install errant, then python -m"):
        errant(["a"], [["a"]], ["a"])


def test_missing_model_is_named_with_the_command_that_installs_it(fake_errant):
    def load(lang):
        raise OSError("[E050] Can't find model 'en_core_web_sm'.")

    fake_errant.load = load
    with pytest.raises(OptionError, match="run python -m spacy download en_core_web_sm .*E050"):
        errant(["a"], [["a"]], ["a"])


def test_real_errant_finds_its_own_edits():
    pytest.importorskip("errant")
    pytest.importorskip("en_core_web_sm")
    source, target = "He go to school yesterday .", "He went to school yesterday ."
    assert errant([target], [[target]], [source]) == {"p": 100.0, "r": 100.0, "f0.5": 100.0}
