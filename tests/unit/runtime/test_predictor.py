"""From a file on disk to answers, without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bitvit
from bitvit.errors import ImageError, UsageError
from bitvit.program import BitvitFile, Interpreter, ProgramError, write_file
from bitvit.runtime import Prediction, Predictor, available_isas, load_image
from bitvit.runtime.classification import classify
from tests.support.random_programs import random_images, random_program
from tests.support.tiny_file import tiny_file


@pytest.fixture(scope="module")
def file() -> BitvitFile:
    return random_program(11)


@pytest.fixture(scope="module")
def path(file: BitvitFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("predictor") / "net.bitvit"
    write_file(path, file)
    return path


@pytest.fixture(scope="module")
def predictor(path: Path) -> Predictor:
    return bitvit.load(path)


def test_logits_are_those_of_the_interpreter(predictor: Predictor, file: BitvitFile) -> None:
    images = random_images(file, 7, 1)
    logits = predictor.logits(images)
    assert logits.dtype == np.float32
    assert logits.tobytes() == Interpreter(file.program, file.tensors).run(images).tobytes()
    assert predictor.logits(images[:0]).shape == (0, len(file.labels))


def test_threads_and_isa_change_nothing(predictor: Predictor, path: Path, file: BitvitFile) -> None:
    images = random_images(file, 5, 2)
    expected = predictor.logits(images).tobytes()
    for isa in available_isas():
        for threads in (1, 2):
            assert bitvit.load(path, threads=threads, isa=isa).logits(images).tobytes() == expected


def test_one_image_and_many(predictor: Predictor, file: BitvitFile, tmp_path: Path) -> None:
    height, width = file.preprocessing.image_size
    arrays = list(np.random.default_rng(3).integers(0, 256, (40, height + 5, width + 9, 3), dtype=np.uint8))
    paths = [tmp_path / f"{i}.png" for i in range(len(arrays))]
    for image_path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(image_path)
    together = predictor.predict(list(paths))
    assert isinstance(together, list)
    assert len(together) == 40
    assert together == [predictor.predict(array) for array in arrays]
    assert predictor.predict(tuple(paths[:2])) == together[:2]
    assert predictor.predict([]) == []


def test_prediction_follows_from_the_logits(predictor: Predictor, file: BitvitFile) -> None:
    image = random_images(file, 1, 4)[0]
    prepared = load_image(image, file.preprocessing)
    logits = predictor.logits(prepared[None])[0].astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    prediction = predictor.predict(image, top_k=1000)
    assert prediction.index == logits.argmax()
    assert prediction.label == file.labels[prediction.index]
    assert prediction.probability == pytest.approx(probabilities.max())
    assert [label for label, _ in prediction.top] == [file.labels[i] for i in np.argsort(-logits, kind="stable")]
    assert sum(p for _, p in prediction.top) == pytest.approx(1)
    assert prediction.top[0] == (prediction.label, prediction.probability)


def test_top_k(predictor: Predictor, file: BitvitFile) -> None:
    image = random_images(file, 1, 5)[0]
    assert len(predictor.predict(image, top_k=1).top) == 1
    assert len(predictor.predict(image).top) == min(5, len(file.labels))
    with pytest.raises(UsageError, match="top_k"):
        predictor.predict(image, top_k=0)


def test_prediction_as_json(predictor: Predictor, file: BitvitFile) -> None:
    prediction = predictor.predict(random_images(file, 1, 6)[0])
    assert isinstance(prediction, Prediction)
    content = prediction.to_json()
    assert [(entry["label"], entry["probability"]) for entry in content["predictions"]] == list(prediction.top)
    assert content["predictions"][0]["index"] == prediction.index
    assert list(content) == ["predictions"]  # the logits are many, and an array already
    assert prediction.probabilities[prediction.index] == prediction.probability


def test_info(predictor: Predictor, path: Path, file: BitvitFile) -> None:
    info = predictor.info
    assert info.path == str(path)
    assert info.size_bytes == path.stat().st_size
    assert info.n_operators == len(file.program.ops)
    assert info.n_tensors == len(file.tensors)
    assert info.provenance == file.provenance
    assert info.preprocessing == file.preprocessing
    assert list(info.labels) == predictor.labels == file.labels


@pytest.mark.parametrize(
    "images",
    [np.zeros((1, 4, 4, 3)), np.zeros((1, 5, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), [[1]]],
)
def test_logits_of_other_arrays(images: Any, tmp_path: Path) -> None:
    write_file(tmp_path / "tiny.bitvit", tiny_file())
    with pytest.raises(ImageError, match=r"uint8 \[batch, 4, 4, 3\]"):
        bitvit.load(tmp_path / "tiny.bitvit").logits(images)


def test_a_bad_image_in_a_list_is_named(predictor: Predictor, file: BitvitFile, tmp_path: Path) -> None:
    bad = tmp_path / "notes.png"
    bad.write_text("no pixels here")
    with pytest.raises(ImageError, match=r"notes\.png"):
        predictor.predict([random_images(file, 1, 7)[0], bad])


def test_bad_files(tmp_path: Path, path: Path) -> None:
    with pytest.raises(ProgramError, match="no such file"):
        bitvit.load(tmp_path / "absent.bitvit")
    cut = tmp_path / "cut.bitvit"
    cut.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ProgramError, match=r"cut\.bitvit"):
        bitvit.load(cut)


@pytest.mark.parametrize("top_k", [1, 2, 5, 7, 50])
def test_the_best_classes_are_those_of_a_stable_sort(top_k: int) -> None:
    rng = np.random.default_rng(top_k)
    for classes in (1, 2, 7, 40):
        labels = [str(index) for index in range(classes)]
        for logits in (rng.normal(size=classes), rng.integers(0, 3, classes), np.zeros(classes)):
            found = classify(logits.astype(np.float32), labels, top_k)
            assert found.indices == tuple(np.argsort(-logits, kind="stable")[:top_k].tolist())
            assert [label for label, _ in found.top] == [labels[index] for index in found.indices]
