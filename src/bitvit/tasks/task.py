"""What a task is: the meaning of targets and outputs, apart from any network, data set or training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from bitvit.program import Preprocessing
from bitvit.tasks.settings import TaskSettings

if TYPE_CHECKING:
    from PIL import Image

    from bitvit.tasks.objective import Objective, ObjectivePlan

__all__ = ["Classes", "DefaultRecipe", "Doubt", "Evaluation", "Metric", "Scorer", "Task"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Classes:
    """The classes of a network.

    Attributes:
        labels: names, one for each class.
        colors: red, green, blue (0 to 255) of each class, where a task draws with them.
    """

    labels: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Metric:
    """A share from 0 to 1; higher is better.

    Attributes:
        key: its name in JSON, CSV and `Evaluation.metrics`.
        title: its name in tables and figures.
    """

    key: str
    title: str


@dataclass(frozen=True)
class DefaultRecipe:
    """A packaged recipe, and the images it is made for.

    Attributes:
        name: of the recipe.
        image_side: pixels of a side of the network's images.
        largest_side: it suits images whose shorter side is at most that long; None: of any size.
    """

    name: str
    image_side: int
    largest_side: int | None = None


@dataclass(frozen=True)
class Doubt:
    """Why figures may be guessing.

    Attributes:
        text: a clause, such as "top-1 38.89% of 36 images is not clearly above guessing (33.33%)".
        too_few: whether even a perfect network could not be told from guessing on so few images.
        frequent: the most frequent class, where that is nearly always the answer.
    """

    text: str
    too_few: bool = False
    frequent: str | None = None


class Evaluation(ABC):
    """The evaluation of a network on one image set."""

    images: int
    loss: float

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """Return the task's metrics by their keys, in the order of `Task.metrics`."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return all figures as plain values, from which `Task.evaluation` makes the same again."""

    @abstractmethod
    def rows(self) -> list[tuple[str, str]]:
        """Return name and text of each figure, for a table."""

    @abstractmethod
    def class_rows(self) -> list[tuple[str, str]]:
        """Return name and text of each class's figure, for a table."""

    @property
    def score(self) -> float:
        """The task's first metric, by which networks are compared."""
        return next(iter(self.metrics().values()))

    def doubt(self) -> Doubt | None:
        """Return why the figures are not clearly above guessing; None where they are."""
        return None

    def warnings(self) -> list[str]:
        """Return what the user should be told, one sentence each."""
        return []


class Scorer(ABC):
    """Evaluates outputs over a whole image set.

    Attributes:
        sums: all that was added up so far, float64; those of several processes may be summed.
    """

    sums: npt.NDArray[np.float64]

    @abstractmethod
    def add(self, output: npt.NDArray[Any], targets: Sequence[Any] | IntArray) -> None:
        """Add a batch.

        Args:
            output: of the network, `[B, ...]`.
            targets: one for each image, as the image set gives them.
        """

    @abstractmethod
    def result(self) -> Evaluation:
        """Return the figures of all that was added.

        Raises:
            UsageError: nothing was.
        """


class Task(ABC):
    """What a network is for: targets, loss, metrics and figures.

    What an output means in prediction, without PyTorch, is in `bitvit.runtime`.

    A task is stateless: what belongs to one data set or run is handed to its methods.

    Attributes:
        name: as recipes, checkpoints and files say it; that of its package.
        metrics: the first is the one by which runs and epochs are compared.
        settings: class of its section in a recipe.
        is_for_pixels: whether networks answer for every pixel, or for the whole image.
        draws_examples: whether `example_figures` draws anything.
        is_in_format: whether the file format knows the task; without, networks are trained and evaluated, not exported.
        recipes: from which one is chosen where none is named; the first that suits the images.
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    settings: ClassVar[type[TaskSettings]]
    recipes: ClassVar[tuple[DefaultRecipe, ...]]
    is_for_pixels: ClassVar[bool] = False
    draws_examples: ClassVar[bool] = False
    is_in_format: ClassVar[bool] = True

    @abstractmethod
    def scorer(self, classes: Classes, preprocessing: Preprocessing) -> Scorer:
        """Return a fresh scorer of networks for these classes, on images prepared so."""

    @abstractmethod
    def evaluation(self, content: Mapping[str, Any]) -> Evaluation:
        """Return the evaluation whose `to_dict` is `content`."""

    @abstractmethod
    def decisions(self, output: npt.NDArray[Any]) -> IntArray:
        """Return the classes decided for in an output `[B, ...]`: what two networks are compared on."""

    @abstractmethod
    def describe_target(self, target: Any, classes: Classes) -> str:
        """Return a few words for an image's target, to stand beside the image."""

    @abstractmethod
    def objective(self, plan: ObjectivePlan) -> Objective:
        """Return what one phase of training minimizes. Needs PyTorch."""

    def figures(self, evaluation: Evaluation, classes: Classes) -> dict[str, bytes]:
        """Return pictures of an evaluation: PNG files by their names. Needs Matplotlib."""
        return {}

    def example_figures(
        self, photos: Sequence[Image.Image], targets: Sequence[Any], output: npt.NDArray[Any], classes: Classes
    ) -> dict[str, bytes]:
        """Return pictures of single answers: PNG files by their names. Needs Matplotlib.

        Args:
            photos: images at their own sizes.
            targets: one for each.
            output: of the network, `[B, ...]`.
            classes: names and colours.

        Returns:
            The pictures; none where the task draws no single answers.
        """
        return {}
