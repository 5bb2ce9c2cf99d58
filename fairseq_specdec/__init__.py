"""A fairseq user-dir for fast, lossless sequence generation: ``--user-dir fairseq_specdec``.

Importing it first repairs what keeps fairseq from running on a current machine, then registers the tasks, models and
criterions. Modules are imported by name: fairseq skips its own scan when the package is already imported.
"""

import sys as _sys

from fairseq_specdec import prerequisites

prerequisites.check()

with prerequisites.explained():
    from fairseq_specdec import compat

    compat.apply()

    from fairseq_specdec.api import load
    from fairseq_specdec.criterions import spec_drafter_loss as _spec_drafter_loss  # noqa: F401
    from fairseq_specdec.models import nllb as _nllb  # noqa: F401
    from fairseq_specdec.models import spec_drafter as _spec_drafter_model  # noqa: F401
    from fairseq_specdec.tasks import multilingual as _multilingual  # noqa: F401
    from fairseq_specdec.tasks import spec_drafter as _spec_drafter_task  # noqa: F401
    from fairseq_specdec.tasks import translation_specdec as _translation_specdec  # noqa: F401
    from fairseq_specdec.tasks import user_dirs as _user_dirs

_user_dirs.import_user_dirs(_user_dirs.named_on(_sys.argv))

__version__ = "0.1.0"
__all__ = ["load"]
