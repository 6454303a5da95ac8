"""In these tests, the Hub sends malformed, endless or slow answers.

The user must get a one-line error, and no weights file may be left behind.
"""

import time

import pytest
from huggingface_hub import close_session, get_session, snapshot_download

from mobilenetv3_cifar import HubError, MobileNetV3Cifar, hub, hub_limits, push
from tests.hub_fixtures import REPO_ID
from tests.loopback_hub import TOKEN

pytest_plugins = ["tests.hub_fixtures"]


def load():
    return MobileNetV3Cifar.from_pretrained(REPO_ID)


def files_below(folder):
    return {path for path in folder.rglob("*") if path.is_file() and path.name != "CACHEDIR.TAG"}


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"../../../../../evil"', "X-Linked-Etag": "../../../../../evil"},
        {"ETag": '"/evil"'},
        {"ETag": "W/"},
        {"X-Repo-Commit": "../../../../evil"},
        {"X-Repo-Commit": ""},
        {"Location": "http://[", "X-Linked-Etag": "a" * 40},
        {"Content-Length": "many"},
        {"X-Linked-Size": str(3 * 2**30)},
        {"Content-Encoding": "gzip"},
    ],
)
def test_an_invalid_answer_raises_a_hub_error_and_leaves_no_weights(pushed, tmp_path, headers):
    before = files_below(tmp_path)
    pushed.headers = headers
    with pytest.raises(HubError):
        load()
    left = files_below(tmp_path) - before
    assert "evil" not in str(left)
    assert not any(path.name == "model.safetensors" for path in left)
    assert "GET /cdn" not in pushed.requests


@pytest.mark.parametrize("malformed", ["[]", "{}", '{"id": 3, "siblings": [{}]}', "null", "{", ""])
def test_a_malformed_answer_to_a_push_is_a_hub_error(pushed, folder, malformed):
    pushed.malformed = malformed
    with pytest.raises(HubError, match="pushing to someone/small failed: ") as refusal:
        push.push_folder(folder, REPO_ID, token=TOKEN)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("fault", "limit", "message"),
    [
        ("endless", ("MAX_BYTES", 2**22), "the Hub sends more than 4194304 bytes"),
        ("drip", ("SECONDS", 1.0), "sent no complete answer in time"),
    ],
)
@pytest.mark.parametrize("use", ["load", "push"])
def test_bytes_and_time_of_every_exchange_are_limited(
    pushed, folder, monkeypatch, fault, limit, message, use
):
    pushed.faults[fault if use == "load" else f"{fault}_json"] = 1
    monkeypatch.setattr(hub_limits, *limit)
    started = time.perf_counter()
    with pytest.raises(HubError, match=message):
        load() if use == "load" else push.push_folder(folder, REPO_ID, token=TOKEN)
    assert time.perf_counter() - started < 5


def test_other_users_of_the_client_have_no_limits(pushed, monkeypatch):
    load()  # from now on, the client has the hooks that limit responses
    monkeypatch.setattr(hub_limits, "MAX_BYTES", 0)
    assert snapshot_download(REPO_ID)


def test_a_session_that_the_client_starts_anew_has_the_same_limits(pushed, monkeypatch):
    monkeypatch.setattr(hub_limits, "MAX_BYTES", 9)

    def work():
        close_session()
        time.sleep(0.5)  # meanwhile, `in_time` adds the hooks to the new session
        get_session().get(f"{pushed.endpoint}/{REPO_ID}/resolve/main/config.json")

    with pytest.raises(HubError, match="more than 9"), hub.hub_errors("asking"):
        hub_limits.in_time(work)


def test_a_slow_server_is_given_up(monkeypatch):
    budget = hub_limits.Budget(rate=1000)
    budget.spend(1)  # a slow rate is allowed for the first 30 seconds
    budget.started -= 60
    budget.spend(70_000)
    budget.started -= 60
    with pytest.raises(HubError, match="no complete answer in time"):
        budget.spend(1)
