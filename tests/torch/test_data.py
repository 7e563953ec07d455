"""Samples from disk: the same for every split; clear words where they do not fit."""

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from small_plans import GPT, LLAMA, MLP, TRAINING, Worlds, plan_of  # noqa: E402
from test_verbs import called  # noqa: E402

from calibration.torch_engine.batches import whole_batch  # noqa: E402
from calibration.torch_engine.data.choosing import samples_of  # noqa: E402
from calibration.torch_engine.reference import deviation, reference  # noqa: E402
from calibration.torch_engine.task import assign, num_steps  # noqa: E402
from calibration.torch_engine.training import train  # noqa: E402
from simulator.errors import PlanError  # noqa: E402
from simulator.job import prepare  # noqa: E402

ROUNDING = 5e-6  # as in test_splits
WARM_UP, STEPS = 1, 1
IMAGES = f"""
[model]
name = "lenet-5"
[batch]
global = 4
micro = 2
{TRAINING}
"""


@pytest.fixture(scope="module")
def worlds():
    found = Worlds()
    yield found
    found.close()


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens.bin"
    rng = np.random.default_rng(0)
    rng.integers(64, size=8 * 40 + 1, dtype=np.uint16).tofile(path)
    return path


def vectors(folder, classes=10, each=4, width=16):
    rng = np.random.default_rng(0)
    for number in range(classes):
        own = folder / f"class {number}"
        own.mkdir(parents=True)
        for k in range(each):
            np.save(own / f"{k}.npy", rng.normal(size=width).astype(np.float32))
    return folder


def chosen(plan, path, seed=0):
    steps = num_steps(WARM_UP, STEPS)
    return samples_of(path, plan.build_model(), plan.batch.global_, steps, seed)


def trained(worlds, plan, path):
    options = {"warm_up": WARM_UP, "steps": STEPS, "keeps_parameters": True}
    task = assign(prepare(plan), samples=chosen(plan, path), **options)
    reports = worlds.run(partial(train, task), plan.world_size)
    (right,) = worlds.run(partial(reference, task), 1)
    return reports, right


@pytest.mark.parametrize(
    "changes",
    [
        {"parallelism__pipeline": 2, "batch__micro": 1},
        {"parallelism__context": 2, "parallelism__context_method": "all-gather"},
        {"parallelism__zero": 2},
    ],
)
def test_splits_learn_the_same_from_tokens(worlds, tokens, changes):
    reports, right = trained(worlds, plan_of(LLAMA, **changes), tokens)
    assert max(deviation(each.learnt, right) for each in reports) < ROUNDING


def test_replicas_learn_the_same_from_a_folder(worlds, tmp_path):
    path = vectors(tmp_path / "classes")
    reports, right = trained(worlds, plan_of(MLP), path)
    assert max(deviation(each.learnt, right) for each in reports) < ROUNDING


def test_a_target_is_the_next_token(tokens):
    plan = plan_of(GPT)
    task = assign(prepare(plan), samples=chosen(plan, tokens))
    inputs, targets = whole_batch(task, plan.build_model(), 1)
    assert inputs.shape == targets.shape == (8, 8)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    every = np.fromfile(tokens, np.uint16)
    first = task.samples.chosen[8] * 8
    assert inputs[0].tolist() == every[first : first + 8].tolist()


def test_raw_words_and_arrays_are_the_same_tokens(tokens, tmp_path):
    path = tmp_path / "tokens.npy"
    np.save(path, np.fromfile(tokens, np.uint16))
    both = [chosen(plan_of(GPT), each) for each in (tokens, path)]
    assert np.array_equal(both[0].inputs(range(8)), both[1].inputs(range(8)))


def test_an_epoch_has_every_sample_once(tokens):
    """40 samples make 5 batches of 8; what follows is another order of them."""
    model = plan_of(GPT).build_model()
    order = samples_of(tokens, model, 8, 7, 0).chosen
    assert sorted(order[:40]) == list(range(40))
    assert len(set(order[40:])) == 16
    assert order != samples_of(tokens, model, 8, 7, 1).chosen


def test_images_are_read_with_pillow(tmp_path):
    image = pytest.importorskip("PIL.Image")
    plan = plan_of(IMAGES)
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(8, 32, 32), dtype=np.uint8)
    for number, own in enumerate(pixels):
        folder = tmp_path / str(number % 2)
        folder.mkdir(exist_ok=True)
        image.fromarray(own).save(folder / f"{number}.png")
    samples = chosen(plan, tmp_path)
    inputs = samples.inputs(range(4))
    assert inputs.shape == (4, 1, 32, 32)
    names = [int(name.split("/")[1].removesuffix(".png")) for name, _ in samples.files]
    assert np.array_equal(inputs[:, 0], pixels[names[:4]].astype(np.float32) / 255)
    assert samples.targets(range(4)).tolist() == [name % 2 for name in names[:4]]
    image.fromarray(pixels[0][:16]).save(tmp_path / "1" / "small.png")
    with pytest.raises(PlanError, match="is 1 x 16 x 32; the model takes 1 x 32 x 32"):
        samples_of(tmp_path, plan.build_model(), 9, 1, 0)


def test_what_does_not_fit_is_said(tokens, tmp_path):
    folder = vectors(tmp_path / "classes", classes=11, each=2)
    short = tmp_path / "short.bin"
    short.write_bytes(tokens.read_bytes()[:128])
    high = tmp_path / "high.npy"
    np.save(high, np.full(100, 64))
    text = tmp_path / "text.npy"
    np.save(text, np.ones((3, 3)))
    wrong = vectors(tmp_path / "wrong", classes=2, each=8, width=15)
    for plan, path, words in [
        (GPT, tmp_path / "none", "there is no"),
        (GPT, tmp_path, "is a folder; .* learns from one file of tokens"),
        (MLP, tokens, "is a file; .* learns from a folder with a folder a class"),
        (GPT, short, "has 7 samples, and a batch 8 of 8 tokens: at least 65 tokens"),
        (GPT, high, "is 64, but the vocabulary has 64 entries"),
        (GPT, text, "has 2 dimensions of float64"),
        (MLP, folder, "is of class 10, but the model has 10, from 0 on"),
        (MLP, wrong, "is 15; the model takes 16"),
        (MLP, vectors(tmp_path / "few", 2, 1), "has 2 samples, and a batch 16"),
    ]:
        with pytest.raises(PlanError, match=words):
            chosen(plan_of(plan), path)


def test_models_without_such_samples_say_so(tokens):
    bert = plan_of(GPT, model__family="bert")
    with pytest.raises(PlanError, match="nothing on disk is read"):
        chosen(bert, tokens)


def test_the_command_reads_samples(capsys, tmp_path, tokens):
    path = tmp_path / "plan.toml"
    path.write_text(plan_of(GPT).dump())
    words = ["run", str(path), "--steps", "1", "--data"]
    code, out, _ = called(capsys, *words, str(tokens))
    assert code == 0
    assert "loss" in out
    code, _, err = called(capsys, *words, str(tmp_path / "none"))
    assert code == 2
    assert "--data: there is no" in err
