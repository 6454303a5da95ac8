"""These tests check what a run writes while it trains: history.csv and TensorBoard's values."""

import sys
import time
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from accelerate import tracking
from accelerate.utils import LoggerType

from tests.tiny import EXPERIMENT, tiny_dataset, tiny_run
from training.errors import TrainingError
from training.loop.run import Run


@pytest.fixture
def quick(monkeypatch):
    """Return a function that replaces a run's training steps and validation with stubs."""

    def replace(run, validate):
        sums = torch.tensor([64.0, 32.0, 64.0])
        monkeypatch.setattr(run.learner, "step", lambda step, batch: sums)
        monkeypatch.setattr(run, "validate", validate)
        return run

    return replace


def test_history_csv_grows_with_the_run(tmp_path, quick):
    file, lines = tmp_path / "history.csv", []

    def validate():
        lines.append(len(file.read_text().splitlines()) if file.exists() else 0)
        return 50.0, 100.0

    quick(tiny_run(tmp_path), validate).train()
    assert lines == [0, 2]  # the second line is the first epoch's
    text = file.read_text().splitlines()
    assert len(text) == 1 + EXPERIMENT.epochs
    assert text[0].startswith("epoch,lr,train_loss")


def test_logs_without_tensorboard_are_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r"pip install tensorboard"):
        Run(EXPERIMENT, tiny_dataset(), tmp_path, device="cpu", log_dir=tmp_path)


class Writer:
    """A stub of torch.utils.tensorboard.SummaryWriter that records each call."""

    def __init__(self, folder):
        self.folder, self.values, self.closed = folder, [], False
        opened.append(self)

    def add_scalar(self, name, value, global_step):
        assert not self.closed
        self.values.append((global_step, name, value))

    def flush(self):
        pass

    def close(self):
        self.closed = True


opened: list[Writer] = []


@pytest.fixture
def tensorboard(monkeypatch):
    """Make accelerate and the training loop use `Writer`, because TensorBoard is not installed."""
    module = SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(torch.utils, "tensorboard", module, raising=False)
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.TENSORBOARD])
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: name == "tensorboard" or find_spec(name)
    )
    opened.clear()


@pytest.mark.usefixtures("tensorboard")
def test_tensorboard_gets_each_epochs_row_and_the_speed_of_its_training_steps(tmp_path, quick):
    run = Run(EXPERIMENT, tiny_dataset(), tmp_path / "seed-0", device="cpu", log_dir=tmp_path)

    def validate():
        time.sleep(0.1)
        return 50.0, 100.0

    quick(run, validate).train()
    (writer,) = opened
    assert writer.folder == str(tmp_path / "tiny" / "seed-0")
    assert writer.closed
    for row, step in zip(run.state.history, (3, 6), strict=True):
        logged = {name: value for at, name, value in writer.values if at == step}
        training = len(run.data.train) / logged.pop("images_per_second")
        assert logged == row
        assert row["seconds"] - training >= 0.1  # the validation
