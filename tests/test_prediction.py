"""Labelled probabilities: order, batches, modes, and a network left as it was found."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from mobilenetv3_cifar import ImageError, MobileNetV3Cifar, explain


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MobileNetV3Cifar(dropout=0.5).eval()


@pytest.fixture(scope="module")
def pictures(sample):
    return [Image.fromarray(pixels) for pixels in sample[0][:10]]


@pytest.fixture(scope="module")
def photograph():
    """150 x 96 pixels of blurred colours, so that its regions differ."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)).resize(
        (150, 96), Image.Resampling.BICUBIC
    )


def test_one_picture_gives_one_dict_highest_first(model, pictures):
    answer = model.predict(pictures[0], top_k=None)
    assert sorted(answer) == sorted(model.config.labels)
    assert list(answer.values()) == sorted(answer.values(), reverse=True)
    assert sum(answer.values()) == pytest.approx(1, abs=1e-5)


def test_top_k_keeps_the_likeliest(model, pictures):
    everything = list(model.predict(pictures[0], top_k=None).items())
    assert list(model.predict(pictures[0], top_k=2).items()) == everything[:2]


def test_path_array_and_picture_agree(model, pictures, tmp_path):
    path = tmp_path / "one.png"
    pictures[0].save(path)
    expected = model.predict(pictures[0])
    assert model.predict(path) == model.predict(str(path)) == expected
    assert model.predict(np.asarray(pictures[0])) == expected


def test_answers_do_not_depend_on_the_batch(model, pictures):
    one_by_one = [model.predict(picture, top_k=None) for picture in pictures]
    for batch_size in (1, 3, 64):
        together = model.predict(pictures, top_k=None, batch_size=batch_size)
        for alone, among in zip(one_by_one, together, strict=True):
            assert among == pytest.approx(alone, abs=1e-5)


def test_a_photographs_answer_is_the_mean_over_three_regions(photograph):
    model = MobileNetV3Cifar.from_pretrained("small-dropout0.7-epochs4")

    def logits(picture):
        with torch.no_grad():
            return model(model.preprocess(picture))[0]

    whole, square, middle = photograph, (27, 0, 123, 96), (22, 14, 127, 81)  # of 150 x 96 pixels
    mean = sum(map(logits, (whole, *(whole.crop(box) for box in (square, middle))))) / 3
    expected = dict(
        zip(model.config.labels, (mean / model.config.temperature).softmax(0).tolist(), strict=True)
    )
    assert model.predict(photograph, top_k=None) == pytest.approx(expected, abs=1e-5)
    assert (mean - logits(whole)).abs().max() > 0.1  # so that the whole alone would not do


def test_photographs_and_small_pictures_may_be_mixed(model, pictures, photograph):
    mixed = [pictures[0], photograph, pictures[1], photograph, pictures[2]]
    expected = [model.predict(picture, top_k=None) for picture in mixed]
    for batch_size in (1, 2, 4, 64):
        together = model.predict(mixed, top_k=None, batch_size=batch_size)
        for alone, among in zip(expected, together, strict=True):
            assert among == pytest.approx(alone, abs=1e-5)


def test_no_pictures_give_no_answers(model):
    assert model.predict([]) == []


def test_prediction_is_by_evaluation_mode_and_leaves_a_training_network_training(pictures):
    training = MobileNetV3Cifar(dropout=0.9)
    before = {name: value.clone() for name, value in training.state_dict().items()}
    assert training.predict(pictures[0]) == training.predict(pictures[0])
    assert training.training
    assert all(torch.equal(value, before[name]) for name, value in training.state_dict().items())


@pytest.mark.parametrize("part", ["features", "head"])
def test_a_network_partly_in_training_mode_answers_in_evaluation_mode_too(pictures, part):
    model = MobileNetV3Cifar(dropout=0.5).eval()
    expected = model.predict(pictures)
    getattr(model, part).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert model.predict(pictures) == expected
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert getattr(model, part).training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_in_half_precision_predicts_and_explains(pictures, dtype):
    model = MobileNetV3Cifar().eval()
    expected = model.predict(pictures[0], top_k=None)
    (label, probability), *_ = model.to(dtype).predict(pictures[0], top_k=None).items()
    assert probability == pytest.approx(expected[label], abs=0.02)
    assert explain(model, pictures[0]).heatmap.shape == (32, 32)


def test_threads_get_the_answers_that_one_gets(model, pictures):
    expected = [model.predict(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(model.predict, pictures)) == expected


def test_temperature_softens_probabilities_and_keeps_their_order(model, pictures):
    soft = MobileNetV3Cifar(dropout=0.5, temperature=5.0).eval()
    soft.load_state_dict(model.state_dict())
    sharp_answer, soft_answer = (m.predict(pictures[0], top_k=None) for m in (model, soft))
    assert list(soft_answer) == list(sharp_answer)
    assert max(soft_answer.values()) < max(sharp_answer.values())


@pytest.mark.parametrize("arguments", [{"top_k": 0}, {"batch_size": 0}])
def test_numbers_below_one_are_refused(model, pictures, arguments):
    with pytest.raises(ValueError, match="at least 1"):
        model.predict(pictures, **arguments)


def test_an_unreadable_picture_is_refused_by_name(model, tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"broken\.png"):
        model.predict(path)
