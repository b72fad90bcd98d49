"""Figures of a classification, on logits that are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bitvit.tasks import Classes, Doubt, task_named
from bitvit.tasks.classification import ClassificationEvaluation, evaluate_logits
from bitvit.tasks.classification.evaluation import ClassificationScorer


def test_figures_of_known_logits() -> None:
    logits = np.zeros((4, 7), np.float32)
    logits[0, 2] = 5  # right
    logits[1] = [6, 5, 4, 3, 2, 1, 0]  # class 4 is fifth
    logits[2] = [6, 5, 4, 3, 2, 1, 0]  # class 5 is sixth
    logits[3] = 0  # all equal: the lowest class wins
    result = evaluate_logits(logits, np.array([2, 4, 5, 0]), tuple("abcdefg"))
    assert (result.images, result.top1, result.top5) == (4, 0.5, 0.75)
    assert result.per_class == {"a": 1.0, "c": 1.0, "e": 0.0, "f": 0.0}
    log_sum = np.log(np.exp(logits.astype(np.float64)).sum(axis=1))
    assert result.loss == pytest.approx(float((log_sum - [5, 2, 1, 0]).mean()), rel=1e-12)
    assert result.balanced_accuracy == 0.5
    assert result.confusion is not None
    assert [(i, j) for i, row in enumerate(result.confusion) for j, n in enumerate(row) if n] == [
        (0, 0), (2, 2), (4, 0), (5, 0),
    ]  # fmt: skip
    assert list(result.metrics()) == [metric.key for metric in task_named("classification").metrics]
    assert result.score == result.top1


def logits_of(predicted: list[int], n_classes: int) -> np.ndarray:
    return np.eye(n_classes, dtype=np.float32)[predicted]


def test_sums_of_parts_are_the_sums_of_the_whole() -> None:
    rng = np.random.default_rng(3)
    logits, targets = rng.normal(size=(40, 6)).astype(np.float32), rng.integers(0, 6, 40)
    whole = evaluate_logits(logits, targets, "abcdef")
    parts = [ClassificationScorer("abcdef") for _ in range(2)]
    for start in range(0, 40, 5):
        parts[start // 5 % 2].add(logits[start : start + 5], targets[start : start + 5].tolist())
    parts[0].sums = parts[0].sums + parts[1].sums
    found = parts[0].result()
    assert found.loss == pytest.approx(whole.loss, rel=1e-13)  # float64, in another order
    assert found.confusion == whole.confusion and found.metrics() == whole.metrics()
    restored = task_named("classification").evaluation(json.loads(json.dumps(whole.to_dict())))
    assert restored == whole


def test_a_class_that_is_never_recognized_is_named() -> None:
    result = evaluate_logits(logits_of([0] * 10, 2), [0] * 9 + [1], ["frequent", "rare"])
    assert (result.top1, result.balanced_accuracy) == (0.9, 0.5)
    (warning,) = result.warnings()
    assert "'rare'" in warning and "frequent" not in warning and "data.balance" in warning
    assert evaluate_logits(logits_of([0, 1], 2), [0, 1], ["a", "b"]).warnings() == []


@pytest.mark.parametrize(
    ("right", "images", "n_classes", "is_doubted"),
    [
        (80, 1000, 10, True),
        (130, 1000, 10, True),  # significant, and of no use
        (160, 1000, 10, False),
        (520, 1000, 2, True),
        (700, 1000, 2, False),
        (14, 36, 3, True),
        (21, 36, 3, False),
    ],
)
def test_accuracy_near_guessing(right: int, images: int, n_classes: int, is_doubted: bool) -> None:
    targets = np.arange(images) % n_classes
    predicted = np.where(np.arange(images) < right, targets, (targets + 1) % n_classes)
    result = evaluate_logits(logits_of(predicted.tolist(), n_classes), targets, [str(i) for i in range(n_classes)])
    assert (result.doubt() is not None) is is_doubted
    assert result.guessed == pytest.approx(1 / n_classes, rel=0.05)


def test_always_the_frequent_class_is_guessing_and_a_fair_judge_is_not() -> None:
    targets = [0] * 95 + [1] * 5
    constant = evaluate_logits(logits_of([0] * 100, 2), targets, "ab")
    text = "top-1 95.00% of 100 images is not clearly above guessing (95.00%), as nearly all are taken for 'a'"
    assert constant.doubt() == Doubt(text, frequent="a")
    fair = evaluate_logits(logits_of([0] * 89 + [1] * 6 + [1] * 5, 2), targets, "ab")
    assert fair.top1 == 0.94 and fair.doubt() is None


def test_what_cannot_be_told_from_guessing() -> None:
    few = evaluate_logits(logits_of([0, 1, 2], 3), [0, 1, 2], "abc")
    assert few.doubt() == Doubt("top-1 100.00% of 3 images, which are too few to tell from guessing", too_few=True)
    one_class = evaluate_logits(logits_of([1] * 30, 3), [1] * 30, "abc")
    assert one_class.doubt() is None


@pytest.mark.parametrize(
    ("frequent", "rare", "is_too_few"),
    [(100, 1, True), (500, 1, True), (100, 2, True), (100, 5, False), (500, 5, False)],
)
def test_rare_classes_may_be_too_few_to_tell(frequent: int, rare: int, is_too_few: bool) -> None:
    targets = [1] * frequent + [2] * rare
    for predicted in (targets, [1] * len(targets)):  # even a perfect network
        doubt = evaluate_logits(logits_of(predicted, 3), targets, ("absent", "healthy", "sick")).doubt()
        if is_too_few:
            assert doubt is not None and doubt.too_few and doubt.frequent is None
            assert f"of which only {rare} {'is' if rare == 1 else 'are'} not of class 'healthy'" in doubt.text
        elif predicted == targets:
            assert doubt is None
        else:
            assert doubt is not None and doubt.frequent == "healthy" and not doubt.too_few


def test_a_large_matrix_is_not_kept() -> None:
    result = evaluate_logits(logits_of([0], 300), [0], [str(i) for i in range(300)])
    assert result.confusion is None
    assert ClassificationEvaluation.from_dict(result.to_dict()) == result
    assert task_named("classification").figures(result, Classes(tuple(result.per_class))) == {}


def test_confusion_matrix_is_drawn_whatever_the_names() -> None:
    pytest.importorskip("matplotlib")
    labels = ("a$b$c", "[x]", "ü" * 40)
    result = evaluate_logits(logits_of([0, 1, 1], 3), [0, 1, 2], labels)
    picture = task_named("classification").figures(result, Classes(labels))["confusion.png"]
    assert picture.startswith(b"\x89PNG")
