"""The Spec-Drafter module: against the reference implementation's outputs, and by its properties."""

from argparse import Namespace
from types import SimpleNamespace

import pytest
import torch
from fairseq.data import Dictionary

from fairseq_specdec.compat import load_checkpoint
from fairseq_specdec.models.drafter_config import ARCHITECTURES, apply_architecture, complete_options
from fairseq_specdec.models.spec_drafter import SpecDrafterModel
from fairseq_specdec.training.masking import Glance
from tests import tiny
from tests.vectors import VECTORS, with_vectors

PAD, EOS, UNK = 1, 2, 3


def dictionaries(joined=True):
    target = tiny.make_dictionary("s", "t") if joined else tiny.make_dictionary("t")
    source = target if joined else tiny.make_dictionary("s")
    return SimpleNamespace(source_dictionary=source, target_dictionary=target)


def build(joined=True, **options):
    torch.manual_seed(1)
    args = Namespace(**{"max_source_positions": 30, "max_target_positions": 30, **options})
    apply_architecture(args, "spec_drafter_tiny")
    return SpecDrafterModel.build_model(args, dictionaries(joined)).eval()


def batch():
    source = torch.tensor([[PAD, PAD, 5, 6, EOS], [4, 9, 8, 7, EOS]])
    # rows: two tokens kept, none kept; two masks each
    tokens = torch.tensor([[11, 12, UNK, UNK], [UNK, UNK, PAD, PAD]])
    return {"src_tokens": source, "src_lengths": torch.tensor([3, 5]), "prev_output_tokens": tokens}


@with_vectors
@torch.no_grad()
def test_reference_weights_give_the_reference_logits_and_encoder_outputs():
    dictionary = Dictionary.load(str(VECTORS / "dict.txt"))
    checkpoint = load_checkpoint(str(VECTORS / "drafter.pt"))
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary)
    model = SpecDrafterModel.build_model(checkpoint["args"], task).eval()
    assert model.state_dict().keys() == checkpoint["model"].keys()
    model.load_state_dict(checkpoint["model"])
    cases = torch.load(VECTORS / "drafter_vectors.pt", weights_only=True)["cases"]
    for case in cases:
        out = model.encoder(case["src_tokens"], src_lengths=case["src_lengths"])
        for name in ("encoder_out", "encoder_embedding", "encoder_pos"):
            torch.testing.assert_close(out[name][0], case[name], rtol=0, atol=1e-5, msg=f"{case['name']}: {name}")
        logits, _ = model.decoder(case["prev_output_tokens"], out, case.get("block_mask"))
        torch.testing.assert_close(logits, case["logits"], rtol=0, atol=1e-5, msg=case["name"])
    assert len(cases) == 10


@torch.no_grad()
def test_block_mask_selects_the_same_logits_that_the_full_output_holds():
    model, sample = build(), batch()
    full, _ = model(**sample)
    chosen = sample["prev_output_tokens"].eq(UNK)
    block, _ = model(**sample, block_mask=chosen)
    assert full.shape == (2, 4, len(dictionaries().target_dictionary))
    torch.testing.assert_close(block, full[chosen].view(2, 2, -1))


@torch.no_grad()
def test_rows_do_not_depend_on_the_padding_beside_them():
    model, sample = build(), batch()
    together, _ = model(**sample)
    alone, _ = model(torch.tensor([[5, 6, EOS]]), torch.tensor([3]), sample["prev_output_tokens"][:1])
    torch.testing.assert_close(together[:1], alone)
    short, _ = model(sample["src_tokens"][1:], torch.tensor([5]), torch.tensor([[UNK, UNK]]))
    torch.testing.assert_close(together[1:, :2], short)


@torch.no_grad()
def test_every_position_sees_the_whole_prefix_and_block():
    model, sample = build(), batch()
    changed = {**sample, "prev_output_tokens": torch.tensor([[11, 13, UNK, UNK], [UNK, UNK, PAD, PAD]])}
    before, after = model(**sample)[0], model(**changed)[0]
    assert (before[0] - after[0]).abs().amax(dim=-1).min() > 0
    assert before[1].equal(after[1])


@torch.no_grad()
def test_with_a_causal_prefix_its_tokens_see_those_before_them_alone_and_the_block_sees_all():
    model, sample = build(causal_prefix=True), batch()
    lengths = torch.tensor([2, 0])
    out = model.encoder(sample["src_tokens"], src_lengths=sample["src_lengths"])

    def features(row):
        tokens = torch.tensor([row, [UNK, UNK, PAD, PAD]])
        return model.decoder.extract_features(tokens, out, lengths)[0]

    before = features([11, 12, UNK, UNK])
    cases = ([11, 12, UNK, 9], [2, 3]), ([11, 13, UNK, UNK], [1, 2, 3]), ([10, 12, UNK, UNK], [0, 1, 2, 3])
    for changed, differs in cases:
        gap = (before - features(changed)).abs().amax(-1)
        assert gap[0].nonzero().flatten().tolist() == differs and gap[1, :2].max() == 0


@torch.no_grad()
def test_masks_copy_from_the_source_and_other_tokens_do_not():
    model, sample = build(), batch()
    out = model.encoder(sample["src_tokens"], src_lengths=sample["src_lengths"])
    tokens = sample["prev_output_tokens"]
    positions = model.decoder.embed_positions(tokens)
    copied = model.decoder.copy_source(positions, out)
    embedded = model.decoder._embed(tokens, positions, out)
    torch.testing.assert_close(embedded[0, 2:], (copied + positions)[0, 2:])
    torch.testing.assert_close(embedded[0, :2], (model.decoder.embed_tokens(tokens) + positions)[0, :2])
    # a mixture of source embeddings: weights by hand for one query, padding of row 0 left out
    keys = (out["encoder_embedding"][0] + out["encoder_pos"][0])[0, 2:]
    weights = (keys @ model.decoder.copy_attn(positions[0, 2])).softmax(dim=0)
    torch.testing.assert_close(copied[0, 2], weights @ out["encoder_embedding"][0][0, 2:])


@torch.no_grad()
def test_without_source_copy_masks_have_an_embedding_of_their_own():
    model = build(src_embedding_copy=False)
    assert "decoder.copy_attn.weight" not in model.state_dict()
    sample = batch()
    positions = model.decoder.embed_positions(sample["prev_output_tokens"])
    out = model.encoder(sample["src_tokens"], src_lengths=sample["src_lengths"])
    embedded = model.decoder._embed(sample["prev_output_tokens"], positions, out)
    torch.testing.assert_close(embedded[1, 0] - positions[1, 0], model.decoder.embed_tokens.weight[UNK])


@torch.no_grad()
def test_reordering_the_encoder_output_keeps_positions_with_their_rows():
    model, sample = build(), batch()
    out = model.encoder(sample["src_tokens"], src_lengths=sample["src_lengths"])
    swapped = model.encoder.reorder_encoder_out(out, torch.tensor([1, 0]))
    tokens = sample["prev_output_tokens"]
    torch.testing.assert_close(model.decoder(tokens.flip(0), swapped)[0], model.decoder(tokens, out)[0].flip(0))


@pytest.mark.parametrize(
    "options",
    [
        {"layernorm_embedding": True},
        {"encoder_normalize_before": True, "decoder_normalize_before": True},
        {"encoder_learned_pos": False, "decoder_learned_pos": False},
        {"encoder_embed_dim": 16, "decoder_embed_dim": 32, "src_embedding_copy": False},
        {"activation_fn": "relu", "checkpoint_activations": True},
        {"quant_noise_pq": 0.1, "encoder_layerdrop": 0.2, "decoder_layerdrop": 0.2},
    ],
    ids=str,
)
def test_every_option_gives_a_model_that_trains(options):
    model, sample = build(**options).train(), batch()
    masked = sample["prev_output_tokens"].eq(UNK)
    glance = Glance(torch.full((2, 4), 20), torch.rand(2, 4), 0.5)
    logits, _ = model(**sample, loss_mask=masked, glance=glance)
    logits.logsumexp(dim=-1).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_stays_close_to_single(dtype):
    model, sample = build(), batch()
    exact, _ = model(**sample)
    rough, _ = model.to(dtype)(**sample)
    assert rough.dtype == dtype
    assert (rough.float() - exact).abs().max() < 0.05


def test_joined_dictionaries_share_one_table_and_separate_ones_do_not():
    joined, separate = build(), build(joined=False)
    assert joined.encoder.embed_tokens.weight is joined.decoder.output_projection.weight
    assert separate.encoder.embed_tokens.weight is not separate.decoder.embed_tokens.weight
    assert separate.decoder.embed_tokens.weight is separate.decoder.output_projection.weight


def test_sharing_tables_of_separate_dictionaries_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="--share-all-embeddings needs one joined dictionary .* --joined-dictionary"):
        build(joined=False, share_all_embeddings=True)


def test_source_copy_between_different_widths_is_refused():
    with pytest.raises(ValueError, match="--src-embedding-copy needs .* got 32 and 64: .* --no-src-embedding-copy"):
        build(decoder_embed_dim=64)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="--decoder-attention-heads must divide --decoder-embed-dim, got 3 for 32"):
        build(decoder_attention_heads=3)


@pytest.mark.parametrize(
    ("arch", "width", "ffn", "layers", "heads"),
    [
        ("spec_drafter", 512, 2048, 6, 8),
        ("spec_drafter_big", 1024, 4096, 6, 16),
        ("spec_drafter_iwslt_de_en", 512, 1024, 6, 4),
        ("spec_drafter_bart_base", 768, 3072, 6, 12),
        ("spec_drafter_tiny", 32, 64, 2, 2),
    ],
)
def test_architectures_have_their_sizes_on_both_sides(arch, width, ffn, layers, heads):
    args = Namespace()
    apply_architecture(args, arch)
    options = complete_options(args)
    for side in ("encoder", "decoder"):
        sizes = [
            getattr(options, f"{side}_{key}") for key in ("embed_dim", "ffn_embed_dim", "layers", "attention_heads")
        ]
        assert sizes == [width, ffn, layers, heads]
        assert getattr(options, f"{side}_learned_pos")
    assert options.src_embedding_copy and options.apply_bert_init and options.activation_fn == "gelu"
    assert set(ARCHITECTURES) | {"spec_drafter"} >= {arch}


def test_given_options_win_over_the_architecture_and_the_decoder_follows_the_encoder():
    args = Namespace(encoder_embed_dim=24, decoder_layers=1, decoder_learned_pos=False)
    apply_architecture(args, "spec_drafter_tiny")
    assert (args.decoder_embed_dim, args.decoder_layers, args.encoder_layers) == (24, 1, 2)
    assert args.decoder_learned_pos is False
