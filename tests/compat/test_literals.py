"""Options that a checkpoint holds are values, not code to run, whichever module of fairseq reads them."""

import argparse
import ast
import builtins
import copy
import importlib.util
import inspect
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import fairseq
import pytest
import torch
from fairseq import checkpoint_utils, utils
from fairseq.models import MODEL_REGISTRY, fconv

from fairseq_specdec.compat import literals
from tests import tiny

FAIRSEQ = Path(fairseq.__file__).parent


def evaluated(path):
    """Return the calls of eval in a source file."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "eval"]


CALLS = {path: calls for path in sorted(FAIRSEQ.rglob("*.py")) if (calls := evaluated(path))}
NAMES = {
    node.attr
    for calls in CALLS.values()
    for call in calls
    for node in ast.walk(call)
    if isinstance(node, ast.Attribute)
}


def module_name(path):
    return ".".join(path.relative_to(FAIRSEQ.parent).with_suffix("").parts)


@pytest.mark.parametrize(
    "text, value",
    [("[3] * 2 + [7]", [3, 3, 7]), ("5e-4", 5e-4), (" -2/4 ", -0.5), ("(True, {1: ''})", (True, {1: ""}))],
)
def test_options_written_as_literals_keep_their_value(text, value):
    assert literals.evaluate_literal(text) == value


@pytest.mark.parametrize("text", ["open('x')", "().__class__", "x", "2 ** 99", "[i for i in (1, 2)]", "lambda: 0"])
def test_options_that_are_code_are_refused(text):
    with pytest.raises(ValueError, match="must be a literal"):
        literals.evaluate_literal(text)


def test_fairseq_reads_list_and_bool_options_as_before():
    assert utils.eval_str_list("[1, 2]", type=float) == [1.0, 2.0] and utils.eval_str_list("0.5") == [0.5]
    assert utils.eval_bool("False", default=True) is False and utils.eval_bool(True, default=False) is False


def test_code_in_the_options_of_a_checkpoint_is_not_run(state, save, tmp_path):
    cfg = copy.deepcopy(state["cfg"])
    cfg["model"].adaptive_softmax_cutoff = f"[__import__('os').mkdir({str(tmp_path / 'made')!r})]"
    with pytest.raises(ValueError, match="must be a literal"):
        checkpoint_utils.load_model_ensemble_and_task([save(cfg=cfg)])
    assert not (tmp_path / "made").exists()


# Every module and every model class


def test_many_modules_of_fairseq_evaluate_options():
    """Else the walks below would show nothing."""
    assert len([path for path in CALLS if "models" in path.parts]) > 8
    assert {"encoder_layers", "decoder_attention", "conv_feature_layers", "character_filters"} <= NAMES


@pytest.mark.parametrize("path", CALLS, ids=module_name)
def test_eval_is_literal_in_every_module_that_calls_it(path):
    module = sys.modules.get(module_name(path))
    if module is not None:
        assert module.eval is literals.evaluate_literal
        return
    spec = next(finder.find_spec(module_name(path), [str(path.parent)]) for finder in sys.meta_path[:1])
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception:  # it wants packages that are not here, or a place in a repository
        pass
    assert module.eval is literals.evaluate_literal


def test_all_other_modules_of_fairseq_have_it_too():
    loaded = [module for name, module in sys.modules.items() if name.startswith("fairseq.") and module]
    assert not [module.__name__ for module in loaded if module.eval is builtins.eval]


def options_of(model):
    """Return the options of a model class as their defaults, whatever form they are declared in."""
    parser = argparse.ArgumentParser(allow_abbrev=False, conflict_handler="resolve")
    model.add_args(parser)
    for action in parser._actions:
        action.required = False
    return vars(parser.parse_args([]))


def try_to_build(model, options):
    """Build a model without memory; it may fail in any way that it likes."""
    dictionary = tiny.make_dictionary("s")
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary, dictionary=dictionary)
    task.dicts, task.lang_pairs, task.tgt_dict, task.src_dict = {}, [], dictionary, dictionary
    try:
        with torch.device("meta"):
            model.build_model(Namespace(**options), task)
    except (Exception, SystemExit):
        pass


@pytest.fixture
def trap(tmp_path):
    """Code that leaves a trace, in a form that any reader of lists, numbers or switches would run."""
    trace = tmp_path / "ran"
    code = f"[open({str(trace)!r}, 'w').close() or (8, 3)]"
    yield code
    assert not trace.exists()


@pytest.mark.parametrize("name", sorted(MODEL_REGISTRY))
def test_code_in_the_options_of_no_model_class_runs(name, trap):
    model = MODEL_REGISTRY[name]
    options = options_of(model)
    texts = {key: trap for key, value in options.items() if isinstance(value, str) or value is None}
    try_to_build(model, {**options, **texts})
    for key in NAMES & set(options):
        try_to_build(model, {**options, "dropout": 0.0, key: trap})


def test_without_the_repair_such_code_would_run(monkeypatch, tmp_path):
    trace = tmp_path / "ran"
    options = {**options_of(fconv.FConvModel), "encoder_embed_dim": 8}
    monkeypatch.setattr(fconv, "eval", builtins.eval)
    try_to_build(fconv.FConvModel, {**options, "encoder_layers": f"[open({str(trace)!r}, 'w').close() or (8, 3)]"})
    assert trace.exists()


def test_code_in_a_checkpoint_of_a_model_class_that_evaluates_is_not_run(data_bin, tmp_path, trap):
    path = tiny.save_random(tmp_path / "fconv.pt", data_bin, arch="fconv_iwslt_de_en")
    state = torch.load(path, weights_only=False)
    model = state["cfg"]["model"]
    options = vars(model) if isinstance(model, Namespace) else model
    options.update(dict.fromkeys(("encoder_layers", "decoder_layers", "decoder_attention"), trap))
    torch.save(state, path)
    with pytest.raises(ValueError, match="must be a literal"):
        checkpoint_utils.load_model_ensemble([str(path)], {"data": str(data_bin)})


def test_modules_that_are_not_fairseqs_keep_their_eval():
    spec = importlib.util.spec_from_loader("other", loader=None)
    assert not hasattr(importlib.util.module_from_spec(spec), "eval")
    assert sys.meta_path[0].find_spec("json", None) is None
    assert "eval" not in vars(inspect)
