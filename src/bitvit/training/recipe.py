"""Recipes: everything that determines what a training run computes, as one typed value.

A recipe comes from YAML (one of the packaged ones, or a file) plus overrides `section.key=value`. Every key has a
default; unknown keys and values of the wrong type are errors that name the key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from bitvit.data import DATA_NAMES
from bitvit.data.folder_layout import Layout
from bitvit.runtime.decoding import MAX_PIXELS
from bitvit.tasks import Augmentation, Distillation, TaskSettings
from bitvit.training.errors import RecipeError
from bitvit.training.recipe_checks import check_recipe
from bitvit.training.recipe_parsing import apply_overrides, from_mapping, key_of, read_yaml

__all__ = [
    "Calibration",
    "DataChoice",
    "Ema",
    "ModelChoice",
    "Recipe",
    "Regularization",
    "Runtime",
    "ScaleSpeed",
    "Schedule",
    "TeacherImages",
    "TeacherSchedule",
    "Validation",
    "packaged_recipes",
    "with_absolute_paths",
]


@dataclass(frozen=True)
class DataChoice:
    """Which images, the fields of `bitvit.data.DataOptions`, and how they are brought to the network's size."""

    name: str = "digits"
    folder: str | None = None
    val_fraction: float = 0.2
    split_seed: int = 0
    samples_per_class: int | None = None
    label_noise: float = 0.0
    folds: int | None = None
    fold: int | None = None
    layout: Layout = "auto"
    """Of a folder: "split" or "classes" where the names of its subfolders do not tell what they are."""
    class_order: Literal["natural", "alphabetical"] | tuple[str, ...] = "natural"
    """Of a folder's classes: numbers by value (timm's order), by letters (torchvision's), or all names."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do if images cannot be read; either way all are named before training."""
    bit_depth: int | None = None
    """Of images with more than 8 bits whose files do not state it, such as 12; by default that of the largest value."""
    max_pixels: int = MAX_PIXELS
    """Larger images are refused."""
    channels: int = 3
    """Of teacher and student: 1 (grey), 3 (RGB) or 4 (RGB and the files' fourth channel)."""
    crop_fraction: float = 1.0
    """In evaluation the shorter side is resized to image size / crop_fraction before the centre is cut out."""
    interpolation: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "bicubic"
    balance: Literal["none", "sampling", "weights"] = "none"
    """For rare classes: "sampling" draws the images of every class equally often, "weights" lets those of rare classes
    count more in the loss."""

    def model_kwargs(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a model with the number of its input channels among them."""
        return dict(kwargs) if self.channels == 3 else {"in_chans": self.channels, **kwargs}


@dataclass(frozen=True)
class ModelChoice:
    """The student: a registered model, or any timm ViT that `scheme` binarizes."""

    name: str = "gsb_deit_micro_patch4_32"
    image_size: int | None = None
    scheme: str | dict[str, Any] | None = None
    """For timm's own models: a scheme of `bitvit.binarize` by name, or fields of `BinarizationScheme`. For registered
    students: fields that differ from the model's own scheme."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the model (`drop_path_rate`, `depth`, ...)."""
    init: Literal["scratch", "teacher"] = "scratch"
    """Where the first weights come from."""
    weights: str | None = None
    """A checkpoint of bitvit or a run folder to train further, such as one that `bitvit import` wrote: it takes the
    place of name, image_size, scheme, kwargs and init. A head for other classes starts anew."""
    gamma_switch: float = 0.5
    """XNOR baseline: share of the last stage after which gamma changes from Eq. 2 to Eq. 8 (1: never)."""


@dataclass(frozen=True)
class Schedule:
    """One phase of training. Without epochs it is left out."""

    epochs: int = 0
    optimizer: str = "adamw"
    """Any optimizer of timm: adam, adamw, sgd, ..."""
    learning_rate: float = 5e-4
    schedule: Literal["cosine", "poly"] = "cosine"
    """How the rate falls to the smallest one: as half a cosine, or as `(1 - t)^0.9` (usual for segmentation)."""
    min_learning_rate: float = 0.0
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    momentum: float = 0.9
    """For optimizers that have one, such as sgd."""
    clip_gradient: float | None = None
    """Largest norm of the gradient."""


@dataclass(frozen=True)
class TeacherImages:
    """Training images of a teacher that sees more of them than the student; never one that validates.

    The student's data set, or another one with the same classes. An image that the student has as well keeps its label.
    """

    samples_per_class: int | None = None
    """So many of each class; null takes all."""
    name: str | None = None
    """Another data set, as `data.name`; it is validated on the student's validation images all the same."""
    folder: str | None = None
    """Where its files lie, as `data.folder`."""
    label_noise: float = 0.0
    """Share of the images that get a wrong class."""


@dataclass(frozen=True)
class TeacherSchedule(Schedule):
    """The full-precision teacher: trained (`epochs`), loaded (`weights`, `pretrained`), or both."""

    model: str = "deit_micro_distilled_patch4_32"
    weights: str | None = None
    """A timm model's safetensors file, a checkpoint of bitvit, or a run folder."""
    pretrained: bool = False
    """Begin with timm's pretrained weights of the model, from the Hugging Face cache or hub."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    data: TeacherImages | None = None
    """Images that the teacher is trained on; null: those of the student."""


@dataclass(frozen=True)
class ScaleSpeed:
    """How learned scales move: an optimizer moves their logarithms, in groups of their own without weight decay."""

    speed: float = 10.0
    """Learning rate of scales, relative to that of the weights."""
    step_speed: float = 1.0
    """Learning rate of the steps of 8-bit inputs, relative to that of the weights."""
    eps: float = 1e-15
    """Adam's epsilon for both: gradients of scales can be as small as 1e-11."""


@dataclass(frozen=True)
class Regularization:
    """Terms beside the loss of classification and distillation."""

    weight_oscillation: float = 0.0
    """BHViT: share w of `bitvit.models.weight_oscillation_loss`, `L = (1 - w) L + w L_reg`; 0.1 in the paper."""
    from_: float = 0.0
    """Share of a stage's epochs after which the terms act: 0.9 leaves them to the last tenth."""


@dataclass(frozen=True)
class Ema:
    """Exponential moving average of the weights, kept beside them (in `model_ema.safetensors`)."""

    decay: float | None = None
    warmup: bool = False


@dataclass(frozen=True)
class Calibration:
    """Initial values of learned scales from data (Eq. 21-25, 34), before each stage."""

    images: int = 64


@dataclass(frozen=True)
class Validation:
    """How often to look at the validation images (after the last epoch always)."""

    every_epochs: int = 1
    batch_size: int = 256


@dataclass(frozen=True)
class Runtime:
    """Where and how to compute: may differ between a run and its resumption, and between runs to be compared."""

    accelerator: str = "auto"
    devices: int | str = 1
    nodes: int = 1
    strategy: str = "auto"
    workers: int = 0
    """Processes that prepare images; with 0 training does so itself."""
    image_cache_mib: int = 512
    """Memory for decoded training images, of all workers together; the others are decoded in every epoch."""
    threads: int | None = None
    """Computing threads; by default PyTorch's own choice."""
    compile: bool = False
    cuda_graphs: bool = False
    """On a GPU: replay a network's passes instead of launching each of their operations, which takes small networks
    most of a step. In single or double precision, on one device."""
    tensorboard: bool = True


@dataclass(frozen=True)
class Recipe:
    """All of a training run. Two runs with equal recipes (but for `runtime`) on one machine end with equal weights."""

    name: str = "custom"
    seed: int = 0
    batch_size: int = 64
    """Over all devices together."""
    least_steps: int = 0
    """Batches that an epoch has at least: one of few images takes them several times, each time augmented anew."""
    precision: Literal["32", "bf16-mixed", "16-mixed", "64"] = "32"
    task: TaskSettings = field(default_factory=TaskSettings)
    data: DataChoice = field(default_factory=DataChoice)
    augmentation: Augmentation = field(default_factory=Augmentation)
    model: ModelChoice = field(default_factory=ModelChoice)
    teacher: TeacherSchedule = field(default_factory=TeacherSchedule)
    distillation: Distillation = field(default_factory=Distillation)
    stage1: Schedule = field(default_factory=Schedule)
    stage2: Schedule = field(default_factory=Schedule)
    scales: ScaleSpeed = field(default_factory=ScaleSpeed)
    regularization: Regularization = field(default_factory=Regularization)
    ema: Ema = field(default_factory=Ema)
    calibration: Calibration = field(default_factory=Calibration)
    validation: Validation = field(default_factory=Validation)
    runtime: Runtime = field(default_factory=Runtime)

    def __post_init__(self) -> None:
        check_recipe(self)

    @property
    def distills(self) -> bool:
        """Whether the student learns from a teacher's answers."""
        return self.distillation.kind != "none"

    @property
    def needs_teacher(self) -> bool:
        """Whether there is a teacher at all: to learn from, or to take first weights from."""
        return self.distills or self.model.init == "teacher"

    @property
    def without_teacher(self) -> Recipe:
        """The same, but nothing is learned from a teacher's answers."""
        return replace(self, distillation=replace(self.distillation, kind="none", distribution=0.0))

    @classmethod
    def load(cls, source: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
        """Return the recipe called `source` (a packaged name, or the path of a YAML file), changed by `overrides`.

        Args:
            source: name of a packaged recipe, or path of a YAML file.
            overrides: `section.key=value` with the value in YAML, or a mapping of `section.key` to values.

        Raises:
            RecipeError: if there is no such recipe, or a key or a value is wrong.
        """
        content = _load_yaml(source)
        try:
            return cls.from_dict(apply_overrides(content, overrides))
        except RecipeError as error:
            if Path(source).is_file() and str(source) not in packaged_recipes() and _is_refused(content, str(error)):
                raise RecipeError(f"{source}: {error}") from None  # it is not what the command changes
            raise

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Recipe:
        """Return the recipe of nested plain values; keys left out keep their defaults.

        Raises:
            RecipeError: if a key or a value is wrong.
        """
        return from_mapping(cls, content)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as nested plain values, for YAML and JSON."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self, dict_factory=_by_key)))
        return content

    def to_yaml(self) -> str:
        """Return all values as YAML, which `load` reads back."""
        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)
        return text

    def differences(self, other: Recipe) -> list[str]:
        """Return the keys (`section.key`) in which `other` differs, leaving out `runtime`."""
        mine, theirs = _flatten(self.to_dict()), _flatten(other.to_dict())
        keys = sorted(mine.keys() | theirs.keys())
        return [key for key in keys if not key.startswith("runtime.") and mine.get(key) != theirs.get(key)]


def _by_key(values: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key_of(name): value for name, value in values}


def _flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Return a recipe whose files and folders are found from any working directory."""

    def absolute(text: str | None) -> str | None:
        if text is None:
            return None
        path = Path(text).expanduser()
        return str(path.absolute()) if path.exists() else text

    def place(name: str | None) -> str | None:
        is_own_folder = name is not None and name not in DATA_NAMES and Path(name).expanduser().is_dir()
        return absolute(name) if is_own_folder else name

    data, taught = recipe.data, recipe.teacher.data
    if taught is not None:
        taught = replace(taught, name=place(taught.name), folder=absolute(taught.folder))
    return replace(
        recipe,
        data=replace(data, name=place(data.name) or data.name, folder=absolute(data.folder)),
        model=replace(recipe.model, weights=absolute(recipe.model.weights)),
        teacher=replace(recipe.teacher, weights=absolute(recipe.teacher.weights), data=taught),
    )


def packaged_recipes() -> list[str]:
    """Return the names of the recipes that come with bitvit."""
    folder = resources.files("bitvit.recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _is_refused(content: Mapping[str, Any], reason: str) -> bool:
    try:
        Recipe.from_dict(content)
    except RecipeError as error:
        return str(error) == reason
    return False


def _load_yaml(source: str | Path) -> dict[str, Any]:
    name = str(source)
    if name in packaged_recipes():
        return read_yaml(resources.files("bitvit.recipes").joinpath(f"{name}.yaml").read_text("utf-8"), name)
    path = Path(source)
    if not path.is_file():
        known = ", ".join(packaged_recipes())
        raise RecipeError(f"no recipe '{name}': it is neither a file nor one of {known}")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error})") from None
    content = read_yaml(text, name)
    if not content:
        raise RecipeError(f"{name}: is empty")
    return content
