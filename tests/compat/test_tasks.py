from argparse import Namespace

from fairseq.tasks.translation_from_pretrained_bart import TranslationFromPretrainedBARTTask as Task

from fairseq_specdec.compat import give_pretrained_bart_its_options
from tests import tiny


def test_the_task_for_mbart_finds_its_options():
    cfg, dictionary = Namespace(langs="de,en"), tiny.make_dictionary("s")
    assert Task(cfg, dictionary, dictionary).args is cfg


def test_a_task_that_has_its_options_is_left_alone(monkeypatch):
    monkeypatch.setattr(Task, "args", "own")
    give_pretrained_bart_its_options()
    assert Task.args == "own"
