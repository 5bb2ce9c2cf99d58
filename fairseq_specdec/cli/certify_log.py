"""The tokens of a fairseq-generate log: its H lines as ids of the target dictionary."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from fairseq import utils
from fairseq.data import Dictionary
from torch import Tensor

from fairseq_specdec.config import OptionError
from fairseq_specdec.evaluation.generate_log import GeneratedSentence, GenerateLog
from fairseq_specdec.options import Conventions
from fairseq_specdec.tasks.speculative import SpeculativeTask

Twins = dict[int, list[int]]  # an id, and all ids that are printed like it


def read_outputs(
    sentences: list[GeneratedSentence], dictionary: Dictionary, conventions: Conventions
) -> dict[int, list[Tensor]]:
    """Turn the H lines into ids.

    Args:
        sentences: of the log.
        dictionary: the target dictionary.
        conventions: the task's; a forced first token that is no text is put back.

    Returns:
        for each sentence, by its place in the data, its hypotheses, best first: [n] int64, eos at the end. They may
        lack tokens that a log leaves out, of which it has the scores.

    Raises:
        OptionError: there are no H or P lines, or they do not hold the dictionary's symbols.
    """
    if sentences[0].hypothesis is None or sentences[0].positional_scores is None:
        raise OptionError(["--gen must hold H and P lines, got a log without: give the whole log."])
    outputs, unknown, uneven = defaultdict(list), [], []
    eos = dictionary.eos() if conventions.eos is None else conventions.eos
    hidden = [conventions.prefix] if conventions.prefix in conventions.strip else []
    for sentence in (one for first in sentences for one in (first, *first.further)):
        symbols = [symbol for symbol in sentence.hypothesis.split(" ") if symbol]
        ids = [dictionary.index(symbol) for symbol in symbols]
        odd = [s for s, i in zip(symbols, ids, strict=True) if i == dictionary.unk() and s != dictionary.unk_word]
        unknown += [(sentence.id, symbol) for symbol in odd]
        ids = [*hidden, *ids, eos]
        if len(sentence.positional_scores) < len(ids) or (odd and len(sentence.positional_scores) > len(ids)):
            uneven.append(sentence)
        outputs[sentence.id].append(torch.tensor(ids))
    _refuse_changed_text(unknown, uneven)
    return dict(outputs)


def read_scores(sentence: GeneratedSentence) -> tuple[float, list[float]]:
    """Return the score of a hypothesis and those of its tokens, in base e."""
    return sentence.score * math.log(2), [score * math.log(2) for score in sentence.positional_scores]


def check_options(log: GenerateLog, beam: int, n_best: int) -> None:
    """Check what a log tells about --beam and --nbest.

    Raises:
        OptionError: another beam or number of hypotheses than was given.
    """
    reasons = []
    for name, given in (("beam", beam), ("nbest", n_best)):
        told = log.options.get(name)
        if told is not None and told != str(given):
            default = " (the default of this command)" if given == 1 else ""
            reasons.append(
                f"--{name} must be that of the run, which its log says is {told}, got {given}{default}: pass "
                f"--{name} {told}."
            )
    longest = max(log.sentences, key=lambda sentence: len(sentence.further))
    most = 1 + len(longest.further)
    if most > n_best and "nbest" not in log.options:
        reasons.append(
            f"--nbest must be that of the run, but --gen has {most} hypotheses of sentence {longest.id}, got {n_best}: "
            f"pass the run's --beam and --nbest."
        )
    if reasons:
        raise OptionError(reasons)


def other_options(log: GenerateLog, given: dict[str, Any]) -> list[str]:
    """Name the generation options of which a log tells another value than was given."""
    told = [(name, log.options[name], value) for name, value in given.items() if name in log.options]
    return [
        f"--{name.replace('_', '-')} (the log says {text}, given is {value})"
        for name, text, value in told
        if text not in (str(value), str(value).removesuffix(".0"))
    ]


def check_data(log: GenerateLog, task: SpeculativeTask, split: str) -> None:
    """Check that a log is of this data.

    Args:
        log: to check.
        task: with the data of the split.
        split: its name.

    Raises:
        OptionError: the log has sentences that the data has not, or with another source.
    """
    dataset, dictionary = task.dataset(split), task.source_dictionary
    if log.ids[-1] >= len(dataset):
        raise OptionError([
            f"--gen must be the log of split {split} with its {len(dataset)} sentences, got {len(log.ids)} up to "
            f"sentence {log.ids[-1]}, counted from 0: pass the run's --gen-subset."
        ])  # fmt: skip
    # S may not be there, or be decoded to plain text (--bpe, --tokenizer)
    plain = {s.id: s for s in log.sentences if s.source is not None and s.detokenized == s.hypothesis}
    for place, tokens in enumerate(task.alone(dataset) if plain else ()):
        sentence = plain.get(place)
        if sentence is None:
            continue
        expected = dictionary.string(utils.strip_pad(tokens, dictionary.pad()))
        if sentence.source != expected:
            raise OptionError([
                f"--gen must be the log of split {split}, but S-{sentence.id} is {sentence.source!r} where the data "
                f"has {expected!r}: pass the DATA_BIN and the --gen-subset of the run."
            ])  # fmt: skip


def read_twins(dictionary: Dictionary) -> Twins:
    """Find the ids that a log does not tell apart: symbols that a dictionary has twice (``#fairseq:overwrite``).

    The first token, eos and padding are not among them: a log leaves out the first two, and the last is never chosen.
    """
    if len(dictionary.indices) == len(dictionary):
        return {}
    hidden = {dictionary.bos(), dictionary.eos(), dictionary.pad()}
    by_symbol = defaultdict(list)
    for i, symbol in enumerate(dictionary.symbols):
        if i not in hidden:
            by_symbol[symbol].append(i)
    return {i: ids for ids in by_symbol.values() if len(ids) > 1 for i in ids}


def settle_twins(tokens: Tensor, twins: Twins, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Say which of the ids that are printed alike each token of an output is.

    It is taken to be the one that the verifier scores highest: no other can have been its choice. What a token is
    changes the scores behind it, so that the output is scored again until nothing changes; since a score depends on
    what stands before it alone, every pass settles one more token at least.

    Args:
        tokens: [n] int64, the first token, then the output.
        twins: see `read_twins`.
        score: gives the log-probabilities [n - 1, V] of all tokens behind the first, for ids [n].

    Returns:
        [n] int64.
    """
    places = [place for place, token in enumerate(tokens.tolist()) if place and token in twins]
    for _ in places:
        scores, settled = score(tokens), tokens.clone()
        for place in places:
            ids = twins[int(tokens[place])]
            settled[place] = ids[int(scores[place - 1, ids].argmax())]
        if settled.equal(tokens):
            break
        tokens = settled
    return tokens


def _refuse_changed_text(unknown: list[tuple[int, str]], uneven: list[GeneratedSentence]) -> None:
    """Refuse H lines that are not the tokens that were decoded."""
    reasons = []
    if unknown:
        index, symbol = unknown[0]
        reasons.append(
            f"--gen must hold symbols of the target dictionary in its H lines, got {len(unknown)} others (the first is "
            f"{symbol!r} in H-{index}): run fairseq-generate without --post-process (--remove-bpe), on this DATA_BIN."
        )
    if uneven:
        first = uneven[0]
        reasons.append(
            f"--gen must hold a score in P for each token of H and for eos, but {len(uneven)} sentences have another "
            f"number (H-{first.id} has {len(first.hypothesis.split())} tokens, P-{first.id} "
            f"{len(first.positional_scores)} scores): run fairseq-generate without --post-process (--remove-bpe)."
        )
    if reasons:
        raise OptionError(reasons)
