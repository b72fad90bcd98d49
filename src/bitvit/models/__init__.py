"""Models: timm's vision transformers made binary, registered with timm under their own names.

Importing this package registers the models.
"""

from bitvit.models.bhvit import weight_oscillation_loss
from bitvit.models.binarize import UnsupportedModelError, binarize
from bitvit.models.parameter_groups import no_weight_decay
from bitvit.models.reference import from_reference
from bitvit.models.registry import create_model, list_models, register, teacher_of
from bitvit.models.scheme import SCHEMES, BinarizationScheme, SchemeLike, resolve_scheme
from bitvit.models.stages import Stage, get_stage, set_attention_phase, set_stage, start_epoch

__all__ = [
    "SCHEMES",
    "BinarizationScheme",
    "SchemeLike",
    "Stage",
    "UnsupportedModelError",
    "binarize",
    "create_model",
    "from_reference",
    "get_stage",
    "list_models",
    "no_weight_decay",
    "register",
    "resolve_scheme",
    "set_attention_phase",
    "set_stage",
    "start_epoch",
    "teacher_of",
    "weight_oscillation_loss",
]

register()
