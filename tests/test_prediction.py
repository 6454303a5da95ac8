"""These tests compare predictions with expected ones and check that networks stay unchanged."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from mobilenetv3_cifar import ImageError, MobileNetV3Cifar, explain
from mobilenetv3_cifar.preprocessing import views_of


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MobileNetV3Cifar(dropout=0.5).eval()


@pytest.fixture(scope="module")
def samples(sample):
    return [Image.fromarray(pixels) for pixels in sample[0][:10]]


def test_one_image_gives_one_dict_highest_first(model, samples):
    answer = model.predict(samples[0], top_k=None)
    assert sorted(answer) == sorted(model.config.labels)
    assert list(answer.values()) == sorted(answer.values(), reverse=True)
    assert sum(answer.values()) == pytest.approx(1, abs=1e-5)


def test_top_k_keeps_the_likeliest(model, samples):
    everything = list(model.predict(samples[0], top_k=None).items())
    assert list(model.predict(samples[0], top_k=2).items()) == everything[:2]


def test_answers_do_not_depend_on_the_batch(model, samples):
    one_by_one = [model.predict(image, top_k=None) for image in samples]
    for batch_size in (1, 3, 64):
        together = model.predict(samples, top_k=None, batch_size=batch_size)
        for alone, among in zip(one_by_one, together, strict=True):
            assert among == pytest.approx(alone, abs=1e-5)


def test_a_photograph_is_predicted_from_its_32_pixel_version(photograph):
    model = MobileNetV3Cifar.from_pretrained("small-dropout0.7-epochs4")
    small = photograph.resize((32, 32), Image.Resampling.BILINEAR)
    expected = model.predict(small, top_k=None)
    assert model.predict(photograph, top_k=None) == expected
    assert explain(model, photograph).probabilities == pytest.approx(expected, abs=1e-5)


def test_a_network_for_32_pixels_averages_the_logits_over_the_views_of_a_photograph(photograph):
    model = MobileNetV3Cifar.from_pretrained("small-cifar32")
    photograph = photograph.resize((300, 192))
    inputs = torch.cat([model.preprocess(view) for view in views_of(photograph)])
    assert len(inputs) == 4
    with torch.inference_mode():
        logits = model(inputs).mean(0)
        features = model.forward_features(inputs).mean(dim=(0, 2, 3))
    probabilities = (logits / model.config.temperature).softmax(0).tolist()
    expected = dict(zip(model.config.labels, probabilities, strict=True))
    prediction = model.predict(photograph, top_k=None)
    assert prediction == pytest.approx(expected, abs=1e-5)
    weights = torch.tensor(model.config.ood_weights)
    assert prediction.ood_score == pytest.approx(float(features @ weights), abs=1e-4)
    explained = explain(model, photograph)
    assert explained.label == next(iter(prediction))
    assert explained.probabilities == pytest.approx(expected, abs=1e-5)


def test_photographs_and_small_samples_may_be_mixed(model, samples, photograph):
    mixed = [samples[0], photograph, samples[1], photograph, samples[2]]
    expected = [model.predict(image, top_k=None) for image in mixed]
    for batch_size in (1, 2, 4, 64):
        together = model.predict(mixed, top_k=None, batch_size=batch_size)
        for alone, among in zip(expected, together, strict=True):
            assert among == pytest.approx(alone, abs=1e-5)


def test_prediction_uses_evaluation_mode_and_then_restores_training_mode(samples):
    training = MobileNetV3Cifar(dropout=0.9)
    before = {name: value.clone() for name, value in training.state_dict().items()}
    assert training.predict(samples[0]) == training.predict(samples[0])
    assert training.training
    assert all(torch.equal(value, before[name]) for name, value in training.state_dict().items())


@pytest.mark.parametrize("part", ["features", "head"])
def test_a_network_partly_in_training_mode_answers_in_evaluation_mode_too(samples, part):
    model = MobileNetV3Cifar(dropout=0.5).eval()
    expected = model.predict(samples)
    getattr(model, part).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert model.predict(samples) == expected
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert getattr(model, part).training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_in_half_precision_predicts_and_explains(samples, dtype):
    model = MobileNetV3Cifar().eval()
    expected = model.predict(samples[0], top_k=None)
    (label, probability), *_ = model.to(dtype).predict(samples[0], top_k=None).items()
    assert probability == pytest.approx(expected[label], abs=0.02)
    assert explain(model, samples[0]).heatmap.shape == (32, 32)


def test_several_threads_get_the_same_predictions_as_one(model, samples):
    expected = [model.predict(image) for image in samples]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(model.predict, samples)) == expected


def test_temperature_softens_probabilities_and_keeps_their_order(model, samples):
    soft = MobileNetV3Cifar(dropout=0.5, temperature=5.0).eval()
    soft.load_state_dict(model.state_dict())
    sharp_answer, soft_answer = (m.predict(samples[0], top_k=None) for m in (model, soft))
    assert list(soft_answer) == list(sharp_answer)
    assert max(soft_answer.values()) < max(sharp_answer.values())


@pytest.mark.parametrize("name", ["top_k", "batch_size"])
def test_numbers_below_one_are_refused(model, samples, name):
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, not 0$"):
        model.predict(samples, **{name: 0})


def test_an_unreadable_image_is_refused_by_name(model, tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"not an image")
    with pytest.raises(ImageError, match=r"broken\.png"):
        model.predict(path)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_refusal_in_a_list_says_which_and_keeps_the_predictions_before(
    model, samples, tmp_path, batch_size
):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    images = [*samples[:5], broken, *samples[5:]]
    with pytest.raises(ImageError, match=r"^images\[5\]: 'broken\.png' is not") as error:
        model.predict(images, batch_size=batch_size)
    assert error.value.index == 5
    assert error.value.predictions == model.predict(samples[:5], batch_size=batch_size)
    with pytest.raises(ImageError, match=r"^images\[5\]: 'broken\.png' is not") as error:
        model.extract_features(images, batch_size=batch_size)
    assert error.value.index == 5
    results = list(model.predict_each(images, batch_size=batch_size))
    assert [isinstance(result, ImageError) for result in results] == [i == 5 for i in range(11)]
    assert results[6] == pytest.approx(model.predict(samples[5]))


def test_no_more_than_a_batch_of_a_stream_is_read_ahead(model, samples):
    taken = []

    def stream():
        for index in range(1000):
            taken.append(index)
            yield samples[0]

    next(model.predict_each(stream(), batch_size=2))
    assert len(taken) < 40


def test_a_large_photo_of_the_callers_own_is_predicted_and_explained(tmp_path):
    model = MobileNetV3Cifar(blocks="cifar32").eval()
    Image.new("L", (5200, 5000)).save(tmp_path / "phone.jpg")  # 26 million pixels
    assert model.predict(tmp_path / "phone.jpg")
    narrow = Image.new("RGB", (2, 400))
    assert explain(model, narrow).heatmap.shape == (400, 2)


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


AMBIENT = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "default device": lambda: torch.device("meta"),
    "default type": default_dtype,
}


@pytest.mark.parametrize("state", AMBIENT)
@pytest.mark.parametrize("blocks", ["report", "cifar32"])
def test_the_callers_torch_settings_change_nothing(photograph, tmp_path, state, blocks):
    MobileNetV3Cifar(blocks=blocks).save_pretrained(tmp_path / "model")

    def everything(model):
        explanation = explain(model, photograph, target=3)
        features = model.extract_features(photograph)
        assert model.extract_features([]).dtype == features.dtype == torch.float32
        inputs = model.preprocess(photograph)
        assert (inputs.dtype, inputs.device.type) == (torch.float32, "cpu")
        return model.predict(photograph, top_k=None), explanation.heatmap, features.numpy()

    expected = everything(MobileNetV3Cifar.from_pretrained(tmp_path / "model"))
    loaded = MobileNetV3Cifar.from_pretrained(tmp_path / "model")
    with AMBIENT[state]():
        inside = everything(loaded)
        loaded_inside = MobileNetV3Cifar.from_pretrained(tmp_path / "model")
        inside_both = everything(loaded_inside)
    for actual in (inside, inside_both, everything(loaded_inside)):
        assert actual[0] == expected[0]
        np.testing.assert_array_equal(actual[1], expected[1])
        np.testing.assert_array_equal(actual[2], expected[2])


def test_the_transform_is_preprocess_as_an_object(model, photograph):
    for resize in ("via_32", "direct"):
        transform = model.transform(resize)
        assert torch.equal(transform(photograph), model.preprocess(photograph, resize)[0])
        assert transform(photograph).shape == (3, 224, 224)
    shown = repr(model.transform())
    for part in ("image_size=224", "mean=(0.485, 0.456, 0.406)", "via_32", "bilinear"):
        assert part in shown
    assert pickle.loads(pickle.dumps(model.transform())) == model.transform()
    with pytest.raises(ValueError, match="'wide'"):
        model.transform("wide")


def test_the_former_names_of_resize_still_work(model, photograph):
    for former, name in (("report", "direct"), ("cifar", "via_32")):
        expected = model.preprocess(photograph, name)
        assert torch.equal(model.preprocess(photograph, view=former), expected)


def test_features_of_a_list_equal_the_features_of_each_image(model, samples, photograph):
    features = model.extract_features([*samples[:3], photograph])
    assert features.shape == (4, model.num_features)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features[3], model.extract_features(photograph))
    inputs = model.preprocess(samples[0])
    pooled = model.forward_features(inputs).mean((2, 3))[0]
    torch.testing.assert_close(features[0], pooled)
