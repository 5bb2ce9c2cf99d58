"""Task ``translation_specdec``: fairseq's translation task with a speculative generator."""

import atexit
import logging
import os
import sys
import weakref
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Optional

from fairseq.dataclass.configs import GenerationConfig
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import Tensor, nn

from fairseq_specdec import drafters  # noqa: F401 (registers them)
from fairseq_specdec.config import DRAFT_RULES, ENGINE_DTYPES, OptionError, SpecConfig
from fairseq_specdec.drafters.base import DRAFTERS, Drafter, DrafterSetting, shared_symbols
from fairseq_specdec.drafters.text import read_token_lines
from fairseq_specdec.engine.support import UnsupportedModelError
from fairseq_specdec.generator import SpecGenerator
from fairseq_specdec.models.architecture import why_not_architecture
from fairseq_specdec.models.load import load_drafter, warn_of_another_encoder
from fairseq_specdec.options import GenerationOptions, StockNeeded, refuse_with_drafts, why_stock
from fairseq_specdec.stats import SpecStats
from fairseq_specdec.tasks.look_ahead import LookAhead
from fairseq_specdec.tasks.places import InputPlaces
from fairseq_specdec.wording import for_eval_bleu, worded

logger = logging.getLogger(__name__)
_in_training = partial(for_eval_bleu, names=[option.name for option in fields(GenerationConfig)])


@dataclass
class TranslationSpecDecConfig(TranslationConfig):
    """Options of the task; see ``docs/design.md`` for what they promise."""

    drafter: str = field(
        default="none",
        metadata={
            "help": f"who guesses the next tokens: {', '.join(DRAFTERS)} (none = no drafts; none, input and file go "
            "with any beam)"
        },
    )
    drafter_path: Optional[str] = field(default=None, metadata={"help": "checkpoint of a trained drafter"})
    draft_file: Optional[str] = field(
        default=None, metadata={"help": "one guess a line, split into symbols as the data is (drafter file)"}
    )
    ngram_corpus: Optional[str] = field(
        default=None, metadata={"help": "target text, split as the data is, that fills the table (drafter ngram)"}
    )
    draft_rule: Optional[str] = field(
        default=None,
        metadata={"help": f"how a copy goes on after a miss: {', '.join(DRAFT_RULES)} (drafters input and file)"},
    )
    block_size: Optional[int] = field(
        default=None,
        metadata={"help": "draft tokens a round, 1..64 (default: what pays, up to the drafter's own)"},
    )
    beta: int = field(
        default=1, metadata={"help": "accept a draft token ranked in the verifier's top BETA; 1 is exact"}
    )
    tau: float = field(default=0.0, metadata={"help": "and at most TAU below the verifier's best log-probability"})
    engine_dtype: Optional[str] = field(
        default=None,
        metadata={"help": f"reduced precision on a CPU: {', '.join(ENGINE_DTYPES)}; not the checkpoint's own output"},
    )
    spec_stats: Optional[str] = field(default=None, metadata={"help": "write statistics to this JSON file"})
    certify: bool = field(
        default=False, metadata={"help": "re-score every output with stock modules; exit status 1 if a token is wrong"}
    )
    cuda_graphs: bool = field(
        default=False,
        metadata={"help": "on a GPU record each round once and launch it as a whole (experimental; else plain torch)"},
    )


@register_task("translation_specdec", dataclass=TranslationSpecDecConfig)
class TranslationSpecDecTask(TranslationTask):
    """Translation decoded speculatively; everything else is fairseq's task."""

    cfg: TranslationSpecDecConfig
    engine_only = False  # fairseq's own generator is no way out

    def __init__(self, cfg: TranslationSpecDecConfig, src_dict: Any, tgt_dict: Any) -> None:
        super().__init__(cfg, src_dict, tgt_dict)
        self._places = InputPlaces()
        self.look_ahead = LookAhead()
        self._unchecked_drafter: Optional[str] = None  # checkpoint of one that may share the verifier's encoder

    @classmethod
    def setup_task(cls, cfg: TranslationSpecDecConfig, **kwargs: Any) -> "TranslationSpecDecTask":
        """Check the options before anything is loaded.

        Raises:
            OptionError: lists all that cannot be honoured.
            ValueError: the drafter is unknown.
        """
        drafter = DRAFTERS[cfg.drafter]
        spec_config(cfg).validate(required=drafter.required, accepted=drafter.accepted)
        return super().setup_task(cfg, **kwargs)

    @worded(_in_training)
    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> nn.Module:
        """Build the verifier, unless only the engine will do and its architecture is none that the engine can run.

        With --eval-bleu the generator is built, too, whose options are in --eval-bleu-args.

        Raises:
            OptionError, UnsupportedModelError: that is so.
        """
        reasons = why_not_architecture(getattr(cfg, "arch", None) or getattr(cfg, "_name", None))
        if reasons and engine_options(self.cfg):
            raise _not_by_engine(engine_options(self.cfg), reasons)
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
            asked = engine_options(self.cfg)
            if asked:
                raise _not_by_engine(asked, error.reasons) from error
            logger.warning("decoding by fairseq's own generator, no faster than it is: %s", "; ".join(error.reasons))
            return super().build_generator(models, args, seq_gen_cls, extra_gen_cls_kwargs, prefix_allowed_tokens_fn)
        _report_when_done(generator, self.look_ahead)
        return generator

    def build_spec_generator(self, models: list[nn.Module], args: Any, **asked: bool) -> SpecGenerator:
        """Return this package's generator; nothing is reported when its life ends.

        Args:
            models: the verifier.
            args: generation options as attributes.
            asked: what else fairseq asks for, see `why_stock`.

        Raises:
            StockNeeded: lists every generation option that needs fairseq's own generator.
            OptionError: most drafters go with beam 1 alone.
            UnsupportedModelError: lists what keeps the engine from running the model.
        """
        reasons = why_stock(args, len(self.target_dictionary), **asked)
        if reasons:
            raise StockNeeded(reasons)
        config, options = spec_config(self.cfg), GenerationOptions.from_args(args)
        refuse_with_drafts(options, config, DRAFTERS[config.drafter].has_guide)
        drafter = self.build_drafter(config, models)
        stats = SpecStats(config, drafter.block_size)
        # a block size that the user asks for is kept; with relaxed acceptance outputs depend on what is drafted, and
        # must not follow the machine's speed
        adaptive = config.block_size is None and config.beta == 1
        return SpecGenerator(models, self.target_dictionary, drafter, options, stats, adaptive, self.look_ahead)

    def build_drafter(self, config: SpecConfig, models: list[nn.Module]) -> Drafter:
        """Build the drafter that the options name, for the verifier's models."""
        dictionary = self.target_dictionary
        model, trained = None, None
        if config.drafter_path is not None:
            # the generator of --eval-bleu is built before the verifier's weights are loaded
            self._unchecked_drafter = config.drafter_path if self.cfg.eval_bleu else None
            model, trained = load_drafter(
                config.drafter_path,
                dictionary,
                self.source_dictionary,
                models[0].encoder,
                check_encoder=not self.cfg.eval_bleu,
            )
        setting = DrafterSetting(
            config.block_size,
            dictionary.pad(),
            dictionary.unk(),
            dictionary.eos(),
            edit_aware=config.draft_rule != "published",
            symbols=shared_symbols(self.source_dictionary, dictionary),
            model=model,
            trained_block_size=trained,
            engine_dtype=config.engine_dtype,
            read_lines=partial(read_token_lines, dictionary),
            draft_file=config.draft_file,
            n_sentences=len(next(iter(self.datasets.values()))) if len(self.datasets) == 1 else None,
            ngram_corpus=config.ngram_corpus,
        )
        return DRAFTERS[config.drafter].build(setting)

    def get_batch_iterator(self, *args: Any, **options: Any) -> Any:
        """Return fairseq's iterator, in which the generator may look ahead."""
        return self.look_ahead.follow(super().get_batch_iterator(*args, **options))

    def build_dataset_for_inference(self, src_tokens: list[Tensor], src_lengths: Any, constraints: Any = None) -> Any:
        """Return fairseq's data set of sentences that were typed; remember their order."""
        self._places.read(src_tokens, self.source_dictionary.pad())
        return super().build_dataset_for_inference(src_tokens, src_lengths, constraints=constraints)

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


def spec_config(cfg: TranslationSpecDecConfig) -> SpecConfig:
    """Gather the options of the task."""
    return SpecConfig(**{option.name: getattr(cfg, option.name) for option in fields(SpecConfig)})


def engine_options(cfg: TranslationSpecDecConfig) -> list[str]:
    """List the options that were given and mean nothing without this package's engine."""
    given = {
        f"--drafter {cfg.drafter}": cfg.drafter != "none",
        f"--beta {cfg.beta}": cfg.beta > 1,
        "--certify": cfg.certify,
        f"--engine-dtype {cfg.engine_dtype}": cfg.engine_dtype is not None,
        f"--spec-stats {cfg.spec_stats}": cfg.spec_stats is not None,
    }
    return [option for option, is_given in given.items() if is_given]


def _not_by_engine(asked: list[str], reasons: list[str]) -> OptionError:
    """Say why the engine cannot do what was asked of it alone."""
    what = f"{' '.join(asked)} needs this package's engine, which cannot do this"
    return OptionError([f"{what}: {reason}. Leave one of the two out." for reason in reasons])


def _report_when_done(generator: SpecGenerator, look_ahead: LookAhead) -> None:
    """Sum up when fairseq lets go of the generator, which it does at the end of its run, or at exit.

    fairseq calls no hook after the last batch; the end of the generator's life is the earliest moment at which all
    batches are counted while the log is still open.
    """
    stats = generator.stats
    if stats.config.certify or stats.config.spec_stats:
        # registered first, so that it runs after the finalizer below
        atexit.register(_exit_by_result, stats)
    weakref.finalize(generator, _report, stats, look_ahead)


def _report(stats: SpecStats, look_ahead: LookAhead) -> None:
    stats.is_partial |= look_ahead.is_open
    if getattr(sys, "last_value", None) is None:  # else the program died of an error, which is to be its last word
        logger.info(stats.summary())
    if stats.config.spec_stats:
        try:
            stats.write(stats.config.spec_stats)
        except OSError as error:
            stats.write_error = error


def _exit_by_result(stats: SpecStats) -> None:
    """Leave with status 1 if a token was wrong or statistics are lost; at exit nothing gentler changes the status."""
    if stats.write_error is not None:
        print(f"--spec-stats: {stats.config.spec_stats} was not written: {stats.write_error}", file=sys.stderr)
    if stats.write_error is not None or (stats.certificate and stats.certificate["wrong"]):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
