"""Tiny dictionaries, corpora and checkpoints in fairseq's own formats, made in a second or two.

A model with fresh random weights soon repeats one token until the length limit. `liven` makes it useful for tests of
decoding: attention is sharpened and the weight of the source raised, so that the next token depends on the source and
on the position; and the output row of eos is fitted, by least squares on the model's own greedy outputs, to overtake
the best other token around source length + 6. Outputs of the test split then have 2 to 30 tokens, rarely more, and
nearly all of them differ.
"""

from __future__ import annotations

import copy
import gc
import random
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from fairseq import options, tasks, utils
from fairseq.data import Dictionary, data_utils, indexed_dataset
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_cli import generate
from omegaconf import OmegaConf
from torch import Tensor, nn

from fairseq_specdec.models.shared_encoder import encoder_digests

SOURCE, TARGET = "de", "en"
WORDS = 28
SPLITS = {"train": 300, "valid": 12, "test": 40}
BART = {
    "arch": "bart_base",
    **{f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in
       {"embed_dim": 32, "ffn_embed_dim": 48, "attention_heads": 2, "layers": 2}.items()},
}  # fmt: skip
# found by trying; factors of the weights whose names end so
_FACTORS = {
    "self_attn.out_proj.weight": 0.3,
    "encoder_attn.out_proj.weight": 2.0,
    "q_proj.weight": 5.0,
    "k_proj.weight": 5.0,
}


def word(prefix: str, index: int) -> str:
    """Return a word; every fourth is the first half of one in BPE notation."""
    return f"{prefix}{index}" + ("@@" if index % 4 == 3 else "")


def make_pair(rng: random.Random, longest: int = 18) -> tuple[str, str]:
    """Return a source sentence and its translation by a rule that a tiny model can learn.

    A word is translated by its number, one in seven doubles, and a word whose number is divisible by 5 changes place
    with its right neighbour. A sentence never ends in half a word.
    """
    numbers = [rng.randrange(WORDS) for _ in range(rng.randint(1, longest))]
    numbers[-1] = 4 * (numbers[-1] // 4)
    swapped = list(numbers)
    for i in range(len(swapped) - 2):
        if numbers[i] % 5 == 0:
            swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
    doubled = [n for number in swapped for n in ([number, number] if number % 7 == 0 else [number])]
    return " ".join(word("s", n) for n in numbers), " ".join(word("t", n) for n in doubled)


def make_dictionary(*prefixes: str) -> Dictionary:
    """Return a dictionary of all words with these prefixes ("s", "t"), padded to a multiple of 8 as by fairseq."""
    dictionary = Dictionary()
    for prefix in prefixes:
        for i in range(WORDS):
            dictionary.add_symbol(word(prefix, i), n=1000 - i)
    dictionary.finalize(padding_factor=8)
    return dictionary


def make_data_bin(
    folder: Path, *, joined: bool = False, seed: int = 1, splits: dict[str, int] | None = None, longest: int = 18
) -> Path:
    """Write a binarised corpus, its dictionaries, and the text of each split beside it (``test.de``, ``test.en``).

    Args:
        folder: data-bin folder, made when missing.
        joined: one dictionary for both languages.
        seed: of the corpus.
        splits: sentences of each split; default SPLITS.
        longest: most source words in a sentence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    dictionaries = [make_dictionary("s", "t")] * 2 if joined else [make_dictionary("s"), make_dictionary("t")]
    for split, size in (splits or SPLITS).items():
        pairs = [make_pair(rng, longest) for _ in range(size)]
        write_split(folder, split, pairs, dictionaries[0], dictionaries[1])
    for lang, dictionary in zip((SOURCE, TARGET), dictionaries, strict=True):
        dictionary.save(str(folder / f"dict.{lang}.txt"))
    return folder


def write_split(folder: Path, split: str, pairs: list[tuple[str, str]], source: Dictionary, target: Dictionary) -> None:
    """Write one split as binarised data and as text; unknown words become unk."""
    for lang, dictionary, lines in (
        (SOURCE, source, [pair[0] for pair in pairs]),
        (TARGET, target, [pair[1] for pair in pairs]),
    ):
        stem = folder / f"{split}.{SOURCE}-{TARGET}.{lang}"
        builder = indexed_dataset.make_builder(f"{stem}.bin", "mmap", len(dictionary))
        for line in lines:
            builder.add_item(dictionary.encode_line(line, add_if_not_exist=False).long())
        builder.finalize(f"{stem}.idx")
        (folder / f"{split}.{lang}").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def with_twins(data: Path, folder: Path) -> Path:
    """Copy a data-bin folder, with a target dictionary that has unk and every second word twice."""
    shutil.copytree(data, folder)
    entries = folder / f"dict.{TARGET}.txt"
    lines = entries.read_text("utf-8").splitlines()
    again = [f"{line.split()[0]} 1 #fairseq:overwrite" for line in ["<unk>", *lines[::2]]]
    entries.write_text("\n".join([*lines, *again]) + "\n", "utf-8")
    return folder


def read_dictionaries(data: Path) -> tuple[Dictionary, Dictionary]:
    """Return the source and the target dictionary of a data-bin folder."""
    source, target = (Dictionary.load(str(data / f"dict.{lang}.txt")) for lang in (SOURCE, TARGET))
    return source, target


def build_model(data: Path, seed: int = 1, **arch_options: Any) -> tuple[nn.Module, Any]:
    """Build a model as fairseq-train does.

    Args:
        data: data-bin folder.
        seed: of the weights.
        **arch_options: options of fairseq-train by their Python names; True becomes a flag, False and None are left
            out. Default: de to en, arch transformer, width 32, 2 heads, 2 + 2 layers.

    Returns:
        the model in evaluation mode, and fairseq's configuration of it.
    """
    asked = repr((str(data), sorted(arch_options.items())))
    if asked not in _configs:  # parsing takes longer than all else
        _configs[asked] = _config(data, arch_options)
    cfg = copy.deepcopy(_configs[asked])
    torch.manual_seed(seed)
    task = tasks.setup_task(cfg.task)
    return task.build_model(cfg.model).eval(), cfg


_configs: dict[str, Any] = {}


def _config(data: Path, arch_options: dict[str, Any]) -> Any:
    """Return fairseq's configuration for options of fairseq-train."""
    chosen: dict[str, Any] = {"source_lang": SOURCE, "target_lang": TARGET, "arch": "transformer"}
    if str(arch_options.get("arch", "transformer")).startswith("transformer"):
        for side in ("encoder", "decoder"):
            small = {"embed_dim": 32, "ffn_embed_dim": 48, "attention_heads": 2, "layers": 2}
            chosen.update({f"{side}_{name}": value for name, value in small.items()})
    chosen.update(arch_options)
    argv = [str(data)]
    for name, value in chosen.items():
        if value is not None and value is not False:
            argv += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), argv))


@torch.no_grad()
def liven(model: nn.Module, source: Dictionary, seed: int = 1, eos: int | None = None) -> None:
    """Change fresh random weights in place so that greedy outputs vary; see the top of this file.

    Args:
        model: to change.
        source: dictionary.
        seed: of the sources that it is fitted on.
        eos: what begins and ends an output, if that is not the dictionary's eos.
    """
    sharpen(model, seed)
    rng = random.Random(seed)
    sources = [source.encode_line(make_pair(rng)[0], add_if_not_exist=False).long() for _ in range(48)]
    _fit_eos(model, sources, source, source.eos() if eos is None else eos)


@torch.no_grad()
def sharpen(model: nn.Module, seed: int = 1) -> None:
    """Change fresh random weights in place so that the next token depends on the source and on the position."""
    for weight in {id(weight): weight for weight in model.parameters() if weight.dim() == 2}.values():
        if weight.std() < 0.05:  # begun as BERT's, for models that are much wider
            weight *= 8
    for name, weight in model.named_parameters():
        for ending, factor in _FACTORS.items():
            if name.endswith(ending):
                weight *= factor
    decoder = model.decoder
    norm = decoder.layers[-1].final_layer_norm if decoder.layer_norm is None else decoder.layer_norm
    # with tied embeddings a token would otherwise predict itself
    norm.weight *= torch.randint(0, 2, norm.weight.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _fit_eos(model: nn.Module, sources: list[Tensor], dictionary: Dictionary, eos: int, steps: int = 28) -> None:
    """Set the output row of eos so that eos overtakes the best other token around source length + 6."""
    pad, decoder = dictionary.pad(), model.decoder
    tokens = data_utils.collate_tokens(sources, pad, dictionary.eos(), left_pad=True)
    lengths = tokens.ne(pad).sum(1)
    memory = model.encoder(tokens, src_lengths=lengths)
    output = torch.full((len(sources), 1), eos)
    for _ in range(steps - 1):
        best = _without(decoder(output, encoder_out=memory)[0][:, -1:], pad, eos).argmax(-1)
        output = torch.cat([output, best], dim=1)
    features = decoder(output, encoder_out=memory, features_only=True)[0]  # [B, T, C]
    best = _without(decoder.output_layer(features), pad, eos).amax(-1)  # [B, T]
    wanted = best + 0.15 * (torch.arange(steps) - lengths[:, None] - 6)
    solved = torch.linalg.lstsq(features.flatten(0, 1), wanted.flatten()[:, None], driver="gelsd").solution
    decoder.output_projection.weight[eos] = solved[:, 0]
    decoder.output_projection.weight[dictionary.bos()] = 0  # trained models do not emit it, and logs leave it out


def _without(logits: Tensor, *ids: int) -> Tensor:
    return logits.index_fill(-1, torch.tensor(ids), -torch.inf)


def save_checkpoint(path: Path, model: nn.Module, cfg: Any, *, as_args: bool = False) -> Path:
    """Write a checkpoint.

    Args:
        path: the file.
        model: its weights.
        cfg: fairseq's configuration.
        as_args: write a flat Namespace as fairseq up to 0.9 did, instead of ``cfg``.
    """
    container = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    parts = [container["common"], container["task"], container["model"]]  # a task without dataclass is a Namespace
    flat = {key: value for part in parts for key, value in dict(getattr(part, "__dict__", part)).items()}
    flat = flat if as_args else None
    if flat is not None:
        flat.pop("_name", None)
    history = {
        "criterion_name": "LabelSmoothedCrossEntropyCriterion",
        "optimizer_name": "FairseqAdam",
        "lr_scheduler_state": {"best": None},
        "num_updates": 100,
    }
    state = {
        "args": Namespace(**flat) if flat is not None else None,
        "cfg": None if as_args else container,
        "model": model.state_dict(),
        "criterion": None,
        "optimizer_history": [history],
        "task_state": tasks.setup_task(cfg.task).state_dict(),
        "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}, "val_loss": None},
        "last_optimizer_state": None,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def save_verifier(path: Path, data: Path, seed: int = 1, **arch_options: Any) -> Path:
    """Write a checkpoint of a lively random Transformer; arguments as of `build_model`."""
    model, cfg = build_model(data, seed, **arch_options)
    liven(model, read_dictionaries(data)[0], seed)
    return save_checkpoint(path, model, cfg)


def save_random(path: Path, data: Path, seed: int = 1, **options_: Any) -> Path:
    """Write a checkpoint with weights as initialised, of any architecture (a drafter: arch, task, block_size ...)."""
    model, cfg = build_model(data, seed, **options_)
    return save_checkpoint(path, model, cfg)


def save_sharing(path: Path, data: Path, verifier: Path, seed: int = 1, **options_: Any) -> Path:
    """Write a checkpoint of a drafter that shares a verifier's encoder, weights otherwise as initialised."""
    chosen = {"arch": "spec_drafter_tiny", "task": "spec_drafter", "share_encoder": True, "verifier": verifier}
    model, cfg = build_model(data, seed, **{**chosen, **options_})
    save_checkpoint(path, model, cfg)
    state = torch.load(path, weights_only=False)
    state["task_state"]["encoder"] = encoder_digests(model.encoder.encoder)  # the task's that built it
    torch.save(state, path)
    return path


def save_trained_verifier(path: Path, data: Path, seed: int = 1, updates: int = 150, **arch_options: Any) -> Path:
    """Write a checkpoint of a model trained briefly (about 4 s on an idle core) on the train split."""
    model, cfg = build_model(data, seed, **arch_options)
    train(model, cfg, updates)
    return save_checkpoint(path, model, cfg)


def train(model: nn.Module, cfg: Any, updates: int, rate: float = 5e-3) -> float:
    """Train an autoregressive model in place on the train split of its data; return the last loss a token."""
    task = tasks.setup_task(cfg.task)
    task.load_dataset("train")
    data = task.dataset("train")
    batches = [data.collater([data[i] for i in rows]) for rows in torch.randperm(len(data)).split(32)]
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, updates)
    model.train()
    loss = torch.zeros(())
    for update in range(updates):
        batch = batches[update % len(batches)]
        loss = _loss(model, batch, task.target_dictionary.pad())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    return float(loss.detach())


def _loss(model: nn.Module, batch: dict[str, Any], pad: int) -> Tensor:
    logits = model(**batch["net_input"])[0]
    return nn.functional.cross_entropy(logits.transpose(1, 2), batch["target"], ignore_index=pad)


def read_hypotheses(generator: Any, models: list[nn.Module], task: Any, batch_size: int, split: str = "test") -> list:
    """Decode a split of the task's data, already loaded, in fairseq-generate's order.

    Returns:
        (id, hypothesis) pairs in the order of the data.
    """
    iterator = task.get_batch_iterator(
        task.dataset(split), max_sentences=batch_size, max_positions=models[0].max_positions()
    ).next_epoch_itr(shuffle=False)
    found = []
    for sample in iterator:
        sample = utils.move_to_cuda(sample) if next(models[0].parameters()).is_cuda else sample
        hypotheses = task.inference_step(generator, models, sample)
        found += [(int(i), row[0]) for i, row in zip(sample["id"], hypotheses, strict=True)]
    return sorted(found, key=lambda pair: pair[0])


def fairseq_generate(data: Path, path: Path | str, folder: Path, *arguments: str) -> Path:
    """Run fairseq-generate greedily in this process, as its command would, with the stock task unless told otherwise.

    Args:
        data: data-bin folder.
        path: checkpoint, or several with colons between.
        folder: where to write.
        *arguments: further options.

    Returns:
        the log: its S, T, H, D and P lines.
    """
    argv = [str(data), "--path", str(path), "--beam", "1", "--results-path", str(folder)]
    argv += ["--num-workers", "0", *arguments]  # to start another process takes seconds
    generate.main(options.parse_args_and_arch(options.get_generation_parser(), argv))
    if {"--spec-stats", "--certify"} & set(arguments):
        # Both are done when the generator goes. Errors that omegaconf swallows hold fairseq's frames, and with them the
        # generator, in a circle: in a process of its own the exit ends it, here nothing does.
        gc.collect()
    (log,) = folder.glob("generate-*.txt")
    return log
