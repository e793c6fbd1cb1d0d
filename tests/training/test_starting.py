"""Beginning from weights alone: what is taken, what is left, what does not fit."""

from functools import partial

import pytest
import torch
from run_tiny import make_data, make_task
from test_tasks import trainer

from vidiff.conditions import Words
from vidiff.denoisers import DiT
from vidiff.patchifiers import Tubelet
from vidiff.training import DiffusionTask
from vidiff.training.starting import Start, take_weights


def built(task):
    task.configure_model()
    return task


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkpoint of a run of six steps, in which the average differs from the weights."""
    folder = tmp_path_factory.mktemp("source")
    trainer(folder).fit(make_task(), make_data())
    return folder / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def state(source):
    return torch.load(source, weights_only=True)["state_dict"]


def test_averaged_weights_of_all_trained_parts_are_taken(source, state):
    task = make_task()
    task.start = Start(str(source))
    built(task)
    own = task.state_dict()
    names = [name for name in own if not name.startswith("ema.")]
    assert names
    for name in names:
        assert torch.equal(own[name], state[f"ema.{name}"]), name
        assert torch.equal(own[f"ema.{name}"], state[f"ema.{name}"]), name
    assert any(not torch.equal(state[n], state[f"ema.{n}"]) for n in names)
    assert own["conditions.text.met"].any(), "words that were met stay met"


def test_weights_without_an_average_are_taken_as_they_are(source, state, tmp_path):
    saved = torch.load(source, weights_only=True)
    saved["state_dict"] = {k: v for k, v in state.items() if not k.startswith("ema.")}
    torch.save(saved, tmp_path / "plain.ckpt")
    task = make_task()
    task.start = Start(str(tmp_path / "plain.ckpt"))
    name = "denoiser.blocks.0.mlp.0.weight"
    assert torch.equal(built(task).state_dict()[name], state[name])


def test_parts_and_patterns_choose(source, state):
    task, untouched = built(make_task()), built(make_task()).state_dict()
    task.ema = None
    start = Start(str(source), ["denoiser"], ["denoiser.patchifier", "denoiser.blocks.*.bias"])
    found = take_weights(task, start)
    own = task.state_dict()
    assert set(found.taken) == {
        name
        for name in own
        if name.startswith("denoiser.")
        and not name.startswith("denoiser.patchifier.")
        and not (name.startswith("denoiser.blocks.") and name.endswith(".bias"))
    }
    for name, value in own.items():
        expected = state[f"ema.{name}"] if name in found.taken else untouched[name]
        assert torch.equal(value, expected), name
    assert "conditions.text.start" in found.left
    assert any(line.startswith("left in the checkpoint:") for line in found.lines())


def test_what_does_not_fit_or_is_not_there_stays_as_built_and_is_said(source):
    """Another patch size and one block more; a wider text encoder."""
    task = DiffusionTask(
        denoiser=partial(
            DiT, width=32, depth=3, num_heads=2, patchifier=partial(Tubelet, patch_size=(1, 8, 8))
        ),
        conditions={"text": partial(Words, text_dim=16, depth=1, num_rows=128)},
        ema_decay=0.0,
    )
    before = {name: value.clone() for name, value in built(task).state_dict().items()}
    found = take_weights(task, Start(str(source)))
    assert found.misfits["denoiser.patchifier.to_tokens.weight"] == ((32, 192), (32, 48))
    assert {name.split(".")[2] for name in found.missing} == {"2"}, "the third block"
    for name in (*found.misfits, *found.missing):
        assert torch.equal(before[name], task.state_dict()[name]), name
    told = "\n".join(found.lines())
    assert "did not fit, stays as built: " in told
    assert "[32, 192], there [32, 48]" in told
    assert "not in the checkpoint, stays as built: " in told


def test_what_cannot_be_begun_from_is_refused(source, tmp_path):
    task = built(make_task())
    task.ema = None
    with pytest.raises(ValueError, match=r"'denoisr', did you mean 'denoiser'\?; its parts: "):
        take_weights(task, Start(str(source), ["denoisr"]))
    saved = torch.load(source, weights_only=True)
    for value in saved["state_dict"].values():
        if value.is_floating_point():
            value[...] = torch.nan
    torch.save(saved, tmp_path / "nan.ckpt")
    with pytest.raises(ValueError, match=r"(denoiser|conditions\.text)\S* holds NaN"):
        take_weights(task, Start(str(tmp_path / "nan.ckpt")))
    saved["state_dict"] = {"other.weight": torch.zeros(2)}
    torch.save(saved, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="nothing in it fits this model"):
        take_weights(task, Start(str(tmp_path / "other.ckpt")))


def test_training_from_weights_begins_at_step_0_with_a_new_optimizer(source, tmp_path):
    run = trainer(tmp_path, max_steps=2)
    run.fit(make_task(), make_data(), init_from=str(source), init_include=["denoiser"])
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    with pytest.raises(ValueError, match="say what init_from takes"):
        trainer(tmp_path / "b").fit(make_task(), make_data(), init_exclude=["denoiser"])
