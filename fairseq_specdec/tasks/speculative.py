"""What the tasks of this package have in common: their options, their generator, looking ahead."""

import logging
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple, Optional

from fairseq.dataclass.configs import GenerationConfig
from torch import Tensor, nn

from fairseq_specdec import drafters  # noqa: F401 (registers them)
from fairseq_specdec.config import OptionError, SpecConfig
from fairseq_specdec.drafters.base import Drafter, DrafterSetting, shared_symbols
from fairseq_specdec.drafters.corpus_file import read_corpus
from fairseq_specdec.drafters.stack import drafter_named
from fairseq_specdec.drafters.text import read_token_lines
from fairseq_specdec.engine.support import UnsupportedModelError
from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.models.architecture import why_not_architecture
from fairseq_specdec.models.autoregressive import load_autoregressive
from fairseq_specdec.models.load import load_drafter, warn_of_another_encoder
from fairseq_specdec.options import Conventions, GenerationOptions, StockNeeded, refuse_with_drafts, why_stock
from fairseq_specdec.stats import SpecStats
from fairseq_specdec.tasks.look_ahead import LookAhead
from fairseq_specdec.tasks.places import InputPlaces
from fairseq_specdec.tasks.reporting import report_when_done
from fairseq_specdec.tasks.spec_options import add_options, engine_options, not_by_engine, spec_config
from fairseq_specdec.tasks.user_dirs import import_user_dirs
from fairseq_specdec.wording import for_eval_bleu, worded

logger = logging.getLogger(__name__)
_in_training = partial(for_eval_bleu, names=[option.name for option in fields(GenerationConfig)])


class Direction(NamedTuple):
    """From one language to another."""

    source_lang: str
    target_lang: str


class Start(NamedTuple):
    """How the outputs of a direction begin.

    Args:
        prefix: id that is forced as their first token, or None.
        first: id that stands before their first token, None for the usual one.
    """

    prefix: Optional[int] = None
    first: Optional[int] = None


class SpeculativeTask:
    """Comes before a task of fairseq's among the bases of a class: that task, decoded by this package."""

    engine_only = False  # fairseq's own generator is no way out

    def __init__(self, cfg: Any, *dictionaries: Any) -> None:
        super().__init__(cfg, *dictionaries)
        self._places = InputPlaces()
        self.look_ahead = LookAhead()
        self._unchecked_drafter: Optional[str] = None  # checkpoint of one that may share the verifier's encoder

    @classmethod
    def add_args(cls, parser: Any) -> None:
        """Add the options of fairseq's task and those of this package."""
        super().add_args(parser)
        add_options(parser)

    @classmethod
    def setup_task(cls, cfg: Any, **kwargs: Any) -> "SpeculativeTask":
        """Check the options before anything is loaded.

        Raises:
            OptionError: lists all that cannot be honoured.
            ValueError: the drafter is unknown.
        """
        import_user_dirs(cfg.also_user_dir or [])
        drafter = drafter_named(cfg.drafter)
        spec_config(cfg).validate(required=drafter.required, accepted=drafter.accepted)
        return super().setup_task(cfg, **kwargs)

    # what tasks differ in

    @property
    def asked(self) -> Any:
        """The options that the task was made with, as attributes; tasks of fairseq keep them in one of two places."""
        return self.args if self.cfg is None else self.cfg

    def conventions(self) -> Conventions:
        """Return what ends an output and what of it is no text."""
        return Conventions()

    def why_not_architecture(self, arch: Optional[str]) -> list[str]:
        """List what keeps the engine from running models of an architecture."""
        return why_not_architecture(arch)

    def verifiers(self, models: list[nn.Module]) -> list[nn.Module]:
        """Return what decodes in models that fairseq loaded."""
        return models

    def why_stock(self, args: Any, **asked: bool) -> list[str]:
        """List the generation options that fairseq's own generator has to decode with, see `options.why_stock`."""
        return why_stock(args, len(self.target_dictionary), **asked)

    def begin(self, sources: list[Tensor], direction: Direction) -> tuple[list[Tensor], Start]:
        """Put sources into the model's terms, for a direction that a caller asks for.

        Args:
            sources: ids [n] int64 each, ending in eos.
            direction: from which language to which.

        Returns:
            the sources as the encoder reads them, and how their outputs begin.

        Raises:
            OptionError: the task does not translate in this direction.
        """
        own = Direction(self.asked.source_lang, self.asked.target_lang)
        raise OptionError([
            f"{name} must be left to the model with this task, which translates from one language to another, got "
            f"{value}: leave it out for {loaded}, or load the model again."
            for name, value, loaded in zip(own._fields, direction, own, strict=True)
        ])  # fmt: skip

    # what they do the same

    @worded(_in_training)
    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> nn.Module:
        """Build the verifier, unless only the engine will do and its architecture is none that the engine can run.

        With --eval-bleu the generator is built, too, whose options are in --eval-bleu-args.

        Raises:
            OptionError, UnsupportedModelError: that is so.
        """
        reasons = self.why_not_architecture(getattr(cfg, "arch", None) or getattr(cfg, "_name", None))
        if reasons and engine_options(self.asked):
            raise not_by_engine(engine_options(self.asked), reasons)
        if reasons and self.engine_only:
            raise UnsupportedModelError(reasons)
        return super().build_model(cfg, from_checkpoint)

    def build_generator(
        self,
        models: list[nn.Module],
        args: Any,
        seq_gen_cls: Any = None,
        extra_gen_cls_kwargs: Optional[dict[str, Any]] = None,
        prefix_allowed_tokens_fn: Any = None,
    ) -> Any:
        """Return this package's generator, or fairseq's own where that alone can do what is asked for.

        The latter is said in one warning, so that every command which works without this package works with it.

        Raises:
            OptionError: options of this package were given that fairseq's generator does not have.
            UnsupportedModelError: likewise, and the engine cannot run the model.
        """
        if getattr(args, "score_reference", False):
            return super().build_generator(models, args)
        fused_lm = (extra_gen_cls_kwargs or {}).get("lm_model") is not None
        restricted = prefix_allowed_tokens_fn is not None
        try:
            generator = self.build_spec_generator(models, args, fused_lm=fused_lm, restricted=restricted)
        except (StockNeeded, UnsupportedModelError) as error:
            asked = engine_options(self.asked)
            if asked:
                raise not_by_engine(asked, error.reasons) from error
            logger.warning("decoding by fairseq's own generator, no faster than it is: %s", "; ".join(error.reasons))
            more = {"seq_gen_cls": seq_gen_cls, "extra_gen_cls_kwargs": extra_gen_cls_kwargs}
            if restricted:  # an argument that not every task has
                more["prefix_allowed_tokens_fn"] = prefix_allowed_tokens_fn
            return super().build_generator(models, args, **more)
        report_when_done(generator, self.look_ahead)
        return generator

    def build_spec_generator(self, models: list[nn.Module], args: Any, **asked: bool) -> SpecGenerator:
        """Return this package's generator; nothing is reported when its life ends.

        Args:
            models: the verifier.
            args: generation options as attributes.
            asked: what else fairseq asks for, see `why_stock`.

        Raises:
            StockNeeded: lists every generation option that needs fairseq's own generator.
            OptionError: a drafter goes with beam 1 alone.
            UnsupportedModelError: lists what keeps the engine from running the model.
        """
        reasons = self.why_stock(args, **asked)
        if reasons:
            raise StockNeeded(reasons)
        models = self.verifiers(models)
        config, options = spec_config(self.asked), GenerationOptions.from_args(args)
        refuse_with_drafts(options, config, drafter_named(config.drafter).has_guide)
        drafter = self.build_drafter(config, models)
        stats = SpecStats(config, drafter.block_size)
        # a block size that the user asks for is kept; with relaxed acceptance outputs depend on what is drafted, and
        # must not follow the machine's speed
        adaptive = config.block_size is None and config.beta == 1
        rest = (drafter, options, stats, adaptive, self.look_ahead, self.conventions())
        generator = SpecGenerator(models, self.target_dictionary, *rest)
        generator.lends = not getattr(self.asked, "eval_bleu", False)
        return generator

    def build_drafter(self, config: SpecConfig, models: list[nn.Module]) -> Drafter:
        """Build the drafter that the options name, for the verifier's models."""
        dictionary = self.target_dictionary
        model, trained = self._load_drafter(config, models) if config.drafter_path is not None else (None, None)
        setting = DrafterSetting(
            config.block_size,
            dictionary.pad(),
            dictionary.unk(),
            dictionary.eos() if self.conventions().eos is None else self.conventions().eos,
            edit_aware=config.draft_rule != "published",
            symbols=shared_symbols(self.source_dictionary, dictionary),
            model=model,
            trained_block_size=trained,
            engine_dtype=config.engine_dtype,
            verifier=models[0],
            draft_dtype=config.draft_dtype,
            read_lines=partial(read_token_lines, dictionary),
            read_corpus=partial(read_corpus, dictionary),
            draft_file=config.draft_file,
            n_sentences=len(next(iter(self.datasets.values()))) if len(self.datasets) == 1 else None,
            ngram_corpus=config.ngram_corpus,
        )
        return drafter_named(config.drafter).build(setting)

    def _load_drafter(self, config: SpecConfig, models: list[nn.Module]) -> tuple[nn.Module, int | None]:
        """Read the drafter's checkpoint; return the model, and the block size that it was trained for, if any."""
        dictionaries = self.target_dictionary, self.source_dictionary
        if drafter_named(config.drafter).reads == "autoregressive":
            return load_autoregressive(config.drafter_path, *dictionaries), None
        # the generator of --eval-bleu is built before the verifier's weights are loaded
        in_training = getattr(self.asked, "eval_bleu", False)
        self._unchecked_drafter = config.drafter_path if in_training else None
        encoder = models[0].encoder
        return load_drafter(config.drafter_path, *dictionaries, encoder, check_encoder=not in_training)

    def get_batch_iterator(self, *args: Any, **options: Any) -> Any:
        """Return fairseq's iterator, in which the generator may look ahead."""
        return self.look_ahead.follow(super().get_batch_iterator(*args, **options))

    def build_dataset_for_inference(self, src_tokens: list[Tensor], src_lengths: Any, constraints: Any = None) -> Any:
        """Return fairseq's data set of sentences that were typed; remember their order."""
        data = super().build_dataset_for_inference(src_tokens, src_lengths, constraints=constraints)
        # as they will be in a batch: a task may add a language to a sentence
        self._places.read(self.alone(data), self.source_dictionary.pad())
        return data

    def alone(self, data: Any) -> Iterator[Tensor]:
        """Yield each sentence [n] int64 of such a data set as the encoder reads it: a batch of one has no padding."""
        yield from (data.collater([data[i]])["net_input"]["src_tokens"][0] for i in range(len(data)))

    def inference_step(
        self, generator: Any, models: list[nn.Module], sample: dict[str, Any], prefix_tokens: Any = None, **options: Any
    ) -> Any:
        """Decode a batch; one of fairseq-interactive, which does not say where its sentences stand, is told."""
        if self._unchecked_drafter is not None:
            warn_of_another_encoder(self._unchecked_drafter, models[0].encoder)
            self._unchecked_drafter = None
        if sample.get("id") is None:
            places = self._places.find(sample["net_input"]["src_tokens"], self.source_dictionary.pad())
            sample = {**sample, "id": places}
        return super().inference_step(generator, models, sample, prefix_tokens=prefix_tokens, **options)

    @worded(_in_training)
    def _inference_with_bleu(self, generator: Any, sample: dict[str, Any], model: nn.Module) -> Any:
        """Decode a batch of --eval-bleu, and count."""
        return super()._inference_with_bleu(generator, sample, model)

    def begin_valid_epoch(self, epoch: int, model: nn.Module) -> None:
        """Have the generator of --eval-bleu read the weights as training left them."""
        super().begin_valid_epoch(epoch, model)
        generator = getattr(self, "sequence_generator", None)
        if isinstance(generator, SpecGenerator):
            generator.weights_changed()
