"""A round on another device than the host's, without one: tensors have a device, a type and a shape and no numbers.

What mixes devices or types, or looks at a number, is an error here as it is on a GPU.
"""

import copy
from types import SimpleNamespace

import pytest
import torch

from fairseq_specdec.blocks import Source
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.engine.weights import read_verifier
from fairseq_specdec.recording.beams import BeamSession
from fairseq_specdec.recording.decoder import RecordedDecoder
from fairseq_specdec.recording.inputs import Shape
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.acceptance import accept_rule
from fairseq_specdec.search.beam import BeamDecoder
from fairseq_specdec.search.decode import Batch, SpecDecoder
from tests import oracle
from tests.kinds import KINDS, drafter_for

PAD, EOS, UNK = 1, 2, 3
META = torch.device("meta")


class Once:
    """In the place of a recorder: does the work, once for each recording."""

    def warm_up(self, work):
        work()

    def record(self, work, keeps=False):
        work()
        return SimpleNamespace(replay=lambda: None)


@pytest.fixture(scope="module")
def setting(data_bin, verifier):
    return oracle.load(verifier, data_bin)


def verifier_on_meta(setting, dtype):
    """Return a verifier on the device."""
    model = copy.deepcopy(setting[0][0]).to(dtype).to(META)
    return Verifier([FastEncoder(model.encoder)], [read_verifier(model.decoder)], temperature=0.7)


def batch_on_meta(**options):
    """Return a batch on the device."""
    limits = Limits(PAD, UNK, EOS, max_len=20, min_len=3, unk_penalty=0.5, **options)
    first = torch.zeros(3, dtype=torch.int64, device=META)
    source = Source(torch.zeros(3, 7, dtype=torch.int64, device=META), first, PAD)
    return Batch(source, {}, limits, first)


def on_meta(setting, data_bin, kind, dtype, beta=1):
    """Return a decoder on the device, and a batch."""
    drafter = drafter_for(data_bin, kind)
    drafter.to(META, dtype)
    verifier = verifier_on_meta(setting, dtype)
    decoder = RecordedDecoder(SpecDecoder(verifier, drafter, accept_rule(beta, 0.5)), Once())
    return decoder, batch_on_meta()


@pytest.mark.parametrize("beta", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_round_stays_on_the_device_in_its_precision_and_reads_nothing(setting, data_bin, kind, dtype, beta):
    decoder, batch = on_meta(setting, data_bin, kind, dtype, beta)
    session = decoder._session(decoder._shape_for(batch), batch)
    session._round()  # one after the first, whose state is another
    assert {tensor.device for tensor in session._tensors()} == {META}
    assert session.state.scores.dtype == torch.float32
    caches = session._decoder.verifier.decoders[0].tensors()[1:]
    assert {tensor.dtype for tensor in caches} == {dtype}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "file"])
@torch.no_grad()
def test_rows_are_moved_on_the_device_without_a_look_at_them(setting, data_bin, kind):
    decoder, batch = on_meta(setting, data_bin, kind, torch.float16)
    shape = decoder._shape_for(batch)
    larger = shape._replace(rows=4, width=12, max_len=32)
    session, waiting, other = (decoder._session(s, batch) for s in (shape, shape._replace(waits=True), larger))
    for one in (session, waiting):
        one.begin(batch)
    session.take(waiting, [0, 1], [1, 2])
    other.take_over(session)
    assert other.state.open_rows == [0, 1, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("beam", [2, 5])
@torch.no_grad()
def test_a_step_of_beams_stays_on_the_device_in_its_precision_and_reads_nothing(setting, dtype, beam):
    batch = batch_on_meta(no_repeat_ngram=2)
    shape = Shape(4, 8, 24)
    session = BeamSession(shape, BeamDecoder(verifier_on_meta(setting, dtype), beam), Once(), batch)
    session.begin(batch)
    for session.state.step in range(3):  # the first has one row a sentence
        session._warm_up_step()
    assert {tensor.device for tensor in session._tensors()} == {META}
    (decision,), _ = session._decided
    assert decision.candidates.scores.dtype == torch.float32
    assert decision.candidates.tokens.shape == (4, 2 * beam)
    assert {tensor.dtype for tensor in session._verifier.decoders[0].tensors()[3:]} == {dtype}
    smaller = BeamSession(shape._replace(rows=2), BeamDecoder(verifier_on_meta(setting, dtype), beam), Once(), batch)
    smaller.take_over(session, [1])
    assert smaller.state.step == 2


def test_such_a_device_is_as_strict_as_one():
    x = torch.zeros(3, device=META)
    for wrong in (lambda: x + torch.zeros(3), lambda: x.sum().item(), lambda: x.nonzero(), lambda: bool(x.any())):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wrong()
