"""The certificate of a beam search finds what is wrong, and nothing else."""

import pytest

from fairseq_specdec.beam_certificate import certify_beams
from fairseq_specdec.drafters.none import NoDrafter
from fairseq_specdec.generator import batch_of
from fairseq_specdec.search.beam_state import BeamState
from tests import oracle


@pytest.fixture(scope="module")
def run(verifier, data_bin):
    """A search of four sentences: what `certify_beams` takes, and the decoder."""
    setting = oracle.load(verifier, data_bin)
    generator = oracle.ours(setting, NoDrafter(), beam=3, max_len_b=10)
    (sample,) = oracle.batches(setting[1], 4, 4)
    batch, trace = batch_of(generator.options, setting[1].target_dictionary, setting[0], sample), []
    decoder = generator._ready_decoder()
    found, _ = decoder.decode(batch, trace)
    return setting[0], batch, trace, found, generator.options, decoder


def test_a_right_search_is_exact_in_every_step_and_in_its_order(run):
    certificate = certify_beams(*run[:5])
    steps = sum(step.rows.numel() for step in run[2])
    assert certificate.tokens == steps + 4
    assert (certificate.wrong, certificate.near_tie) == (0, 0)
    assert certificate.largest_gap == 0.0


def test_candidates_out_of_order_are_wrong(run):
    models, batch, trace, found, options, _ = run
    step = trace[2]
    swapped = step.candidates._replace(
        tokens=step.candidates.tokens[:, [1, 0, *range(2, 6)]], beams=step.candidates.beams[:, [1, 0, *range(2, 6)]]
    )
    certificate = certify_beams(models, batch, [*trace[:2], step._replace(candidates=swapped)], found, options)
    assert certificate.wrong >= 1
    assert certificate.largest_gap > 1e-4


def test_a_candidate_that_was_passed_over_is_wrong(run, monkeypatch):
    models, batch, _, _, options, decoder = run
    rank, trace = BeamState.rank, []

    def forget_the_best(state, lprobs):
        candidates = rank(state, lprobs)
        if state.step == 1:
            for part in candidates:
                part[:, :-1] = part[:, 1:].clone()
        return candidates

    monkeypatch.setattr(BeamState, "rank", forget_the_best)
    found, _ = decoder.decode(batch, trace)
    assert certify_beams(models, batch, trace, found, options).wrong >= 4


def test_hypotheses_in_the_wrong_order_are_wrong(run):
    models, batch, trace, found, options, _ = run
    upside_down = found._replace(totals=-found.totals)
    assert certify_beams(models, batch, trace, upside_down, options).wrong >= 1
