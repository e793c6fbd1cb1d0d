"""What ``vidiff fit`` refuses is refused before anything runs, and what it takes is counted."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from small_config import small_config

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.cells import Cell, Run, make_run
from vidiff.ablation.ask.nodes import Config
from vidiff.ablation.check import models
from vidiff.ablation.check.checker import Checker
from vidiff.registry import list_kinds

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "experiments").glob("[!a]*/*.yaml"))

BASE = {"seed_everything": 1} | small_config({"data.dataset.num_frames": 2})


@pytest.fixture(scope="module")
def shared() -> Checker:
    return Checker()


@pytest.fixture
def checker(shared: Checker) -> Iterator[Checker]:
    """One that has not seen anything, without the seconds that it takes to be made."""
    known = dict(shared._once._known)
    yield shared
    shared._once._known = known


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Writes plugins, and has what they registered forgotten."""
    known = {kind.name: set(kind.components) for kind in list_kinds()}

    def write(text: str) -> str:
        file = tmp_path / f"plugin_{random.getrandbits(64):x}.py"
        file.write_text(text)
        return str(file)

    yield write
    for kind in list_kinds():
        for name in set(kind.components) - known[kind.name]:
            del kind.components[name]


def changed(**changes: Any) -> Config:
    """The base config with dotted keys changed."""
    return nodes.replace(BASE, {key.replace("__", "."): node for key, node in changes.items()})


def part(class_path: str, **init_args: Any) -> dict[str, Any]:
    return {"class_path": class_path, "init_args": init_args}


def some_fast(cases: Mapping[str, Any]) -> list[Any]:
    """The names of cases; two of three are tried by slow tests alone."""
    return [
        name if k % 3 == 0 else pytest.param(name, marks=pytest.mark.slow)
        for k, name in enumerate(cases)
    ]


def refused_by_fit(checker: Checker, config: Config) -> str | None:
    """What ``vidiff fit`` says of a config before it builds anything."""
    from vidiff.cli.model import VidiffCLI
    from vidiff.errors import UsageError

    words = ["fit", "-c", yaml.safe_dump(config)]
    try:
        VidiffCLI.parse_arguments(SimpleNamespace(), checker.parser, words)  # type: ignore[arg-type]
    except UsageError as error:
        return str(error)
    return None


def wrong(checker: Checker, runs: Sequence[Run]) -> list[tuple[Run, str]]:
    """The runs in which something is wrong, and what."""
    return [(run, found) for run in runs if isinstance(found := checker.examine(run.config), str)]


def refused(checker: Checker, config: Config) -> str | None:
    """What the checker says of it."""
    run = Run(Cell({}, {}), 0, config, "")
    errors = wrong(checker, [run])
    assert all(one is run for one, _ in errors)
    assert not any("\n" in message for _, message in errors)
    return errors[0][1] if errors else None


# -- Parsing --------------------------------------------------------------------------------------

BROKEN: dict[str, Config] = {
    "section": BASE | {"modell": {"a": 1}},
    "section, dotted": BASE | {"trainer.max_step": 3},
    "no model": {k: v for k, v in BASE.items() if k != "model"},
    "model null": BASE | {"model": None},
    "model text": BASE | {"model": "DifusionTask"},
    "model without class": BASE | {"model": {"init_args": {"warmup_steps": 2}}},
    "model beside": BASE | {"model": {**BASE["model"], "denoiser": "dit"}},
    "model settings null": BASE | {"model": {"class_path": "Task"}},
    "data text": BASE | {"data": "moving_shapes"},
    "seed": BASE | {"seed_everything": "x"},
    "plugins": BASE | {"plugins": {"a": 1}},
    "option of the task": changed(model__ema=3),
    "option of a part": changed(model__denoiser__depht=3),
    "option of a part of a part": changed(model__denoiser__patchifier__patch_sizes=3),
    "name of a part": changed(model__denoiser="dti"),
    "name of a part of a part": changed(model__denoiser__conditioning="adaln_zeros"),
    "module": changed(model__denoiser="my_block.Mine"),
    "another kind": changed(model__denoiser="full"),
    "given by a neighbour": changed(model__denoiser__in_channels=3),
    "type": changed(model__denoiser__depth="three"),
    "list": changed(model__denoiser__patchifier__patch_size=[1, "x", 8]),
    "missing": changed(model__autoencoder="trained"),
    "settings beside class_path": changed(model__denoiser={"class_path": "dit", "depth": 3}),
    "misspelt init_args": changed(model__denoiser={"class_path": "dit", "init_arg": {}}),
    "dict_kwargs": changed(model__denoiser={"class_path": "dit", "dict_kwargs": {"x": 1}}),
    "option of the data": changed(data__batch=3),
    "option of the dataset": changed(data__dataset__radiuss=3),
    "type of the data": changed(data__batch_size="x"),
    "option of the trainer": changed(trainer__max_step=3),
    "type of the trainer": changed(trainer__max_steps="x"),
    "precision": changed(trainer__precision="bf61"),
    "option of a callback": changed(trainer__callbacks=[part("ModelCheckpoint", dirpat="x")]),
    "callback": changed(trainer__callbacks=["ModelCheckpiont"]),
    "logger": changed(trainer__logger=part("CSVLogger", save_dirr="x")),
    "name of a condition": changed(model__conditions__text="wrods"),
    "option of a condition": changed(model__conditions={"label": part("labels", num=3)}),
    "key that moved": changed(model__text_encoder="words"),
}

FINE: dict[str, Config] = {
    "base": BASE,
    "no data": {k: v for k, v in BASE.items() if k != "data"},
    "names alone": changed(model__denoiser="dit", model__sampler="heun"),
    "class without settings": BASE | {"model": {"class_path": "DiffusionTask"}},
    "model text": BASE | {"model": "DiffusionTask"},
    "settings of a default": changed(model__sampler={"init_args": {"num_steps": 3}}),
    "settings alone": changed(model__sampler={"num_steps": 3}),
    "dotted": BASE | {"trainer.max_steps": 3},
    "numbers as text": changed(model__ema_decay="0.5", model__optimizer=part("adamw", lr="1e-3")),
    "no conditions": changed(model__conditions={}),
    "null for a number": changed(data__val_batch_size=None),
    "own class": changed(model__denoiser__attention="vidiff.attention.Full"),
    "callbacks": changed(trainer__callbacks=[part("SaveCheckpoint", every_n_steps=2)]),
    "weights_only": BASE | {"weights_only": True},
    "other conditions": changed(
        model__conditions={"label": part("labels", num_classes=3), "frames": "frames"},
        model__condition_dropout={"label": 0.2, "all": 0.1},
    ),
}


@pytest.mark.parametrize("name", some_fast(BROKEN))
def test_what_fit_refuses_is_refused_in_the_same_words(checker: Checker, name: str) -> None:
    said = refused_by_fit(checker, BROKEN[name])
    assert said is not None, "this is no broken config"
    ours = refused(checker, BROKEN[name])
    assert ours is not None
    # What jsonargparse says of a missing argument ends in all the others, defaults or not.
    assert ours.partition(" Got value")[0].strip() == said.partition(" Got value")[0].strip()
    assert refused(checker, BROKEN[name]) == ours, "the second time as well"


@pytest.mark.parametrize("name", some_fast(FINE))
def test_what_fit_takes_is_taken_and_means_the_same(checker: Checker, name: str) -> None:
    assert refused(checker, FINE[name]) is None
    agree(checker, FINE[name])


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_mean_what_fit_makes_of_them(checker: Checker, path: Path) -> None:
    agree(checker, yaml.safe_load(path.read_text(encoding="utf-8")))


def agree(checker: Checker, config: Config) -> None:
    """Fit's own parse and ours give the same task, data and trainer."""
    parser = checker._parser
    ours = parser.parse(config)
    theirs = checker.parser.parse_args(["fit", "-c", yaml.safe_dump(config)]).fit
    tasks = [parser.instantiate("model", parsed.model) for parsed in (ours, theirs)]
    assert type(tasks[0]) is type(tasks[1])
    one, other = (json.dumps(dict(task.hparams), sort_keys=True) for task in tasks)
    assert one == other, "with all defaults"
    for section in ("data", "trainer", "seed_everything"):
        assert ours[section] == theirs[section]


def test_parts_of_one_config_never_reach_another(checker: Checker) -> None:
    """Sections and arguments are shared; what one config lacks must not come from another."""
    rich = changed(model__sampler="heun", model__warmup_steps=7, trainer__precision="bf16-mixed")
    agree(checker, rich)
    agree(checker, BASE)
    agree(checker, rich)


# -- What comes later in fit ----------------------------------------------------------------------

LATER: dict[str, tuple[Config, str]] = {
    "heads": (changed(model__denoiser__num_heads=5), "width 24 does not divide among num_heads 5"),
    "clip": (changed(data__dataset__height=20), "20 latent height do not divide into patches of 8"),
    "sampler": (changed(model__sampler="ddpm"), "sampler DDPM does not fit schedule Rectified"),
    "number": (changed(model__warmup_steps=-1), "warmup_steps must be at least 0, got -1"),
    "batch": (changed(data__batch_size=0), "batch_size must be at least 1, got 0"),
    "strategy": (changed(trainer__strategy="ddddp"), "unknown strategy 'ddddp', did you mean 'ddp"),
    "accelerator": (changed(trainer__accelerator="gqu"), "unknown accelerator 'gqu', did you"),
    "devices": (changed(trainer__devices="many"), "`devices` selected with `CPUAccelerator`"),
    "trainer": (changed(trainer__limit_val_batches=-3), "limit_val_batches"),
    "callback": (
        changed(trainer__callbacks=[part("ModelCheckpoint", save_top_k=-3)]), "save_top_k",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LATER)
def test_what_fit_would_refuse_later_is_refused_now(checker: Checker, name: str) -> None:
    config, said = LATER[name]
    checker._parser.parse(config)  # does not tell
    message = refused(checker, config)
    assert message is not None
    assert said in message


@pytest.mark.slow
@pytest.mark.parametrize("name", LATER)
def test_fit_does_refuse_it_later(name: str, tmp_path: Path, capsys: Any) -> None:
    from vidiff.__main__ import main

    config = nodes.replace(LATER[name][0], {"trainer.default_root_dir": str(tmp_path)})
    try:
        assert main(["fit", "-c", yaml.safe_dump(config)]) == 2
    except TypeError:  # Lightning's own
        assert name == "devices"
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("name", ["trainer", "data"])
def test_sections_without_settings_are_refused_though_fit_parses_them(
    checker: Checker, name: str
) -> None:
    assert refused(checker, BASE | {name: None}) == f"{name}: expected settings, got None"


def test_a_run_of_an_ablation_has_steps_and_no_checkpoint(checker: Checker) -> None:
    message = refused(checker, changed(trainer={"max_epochs": 3}))
    assert message is not None
    assert message.startswith("trainer.max_steps: say how many steps")
    message = refused(checker, BASE | {"ckpt_path": "other.ckpt"})
    assert message is not None
    assert "leave it out" in message


def test_runs_for_other_machines_are_checked_here(checker: Checker) -> None:
    gpus = {"accelerator": "gpu", "devices": 8, "num_nodes": 4, "strategy": "ddp", "max_steps": 2}
    assert refused(checker, BASE | {"trainer": gpus | {"precision": "16-mixed"}}) is None


def test_a_check_leaves_the_process_as_it_was(
    checker: Checker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state()
    settings = {"deterministic": True, "benchmark": True, "max_steps": 2, "profiler": "simple"}
    config = changed(trainer=settings | {"accelerator": "cpu"})
    capfd.readouterr()
    assert refused(checker, config) is None
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET


# -- All at once ----------------------------------------------------------------------------------


def test_every_mistake_of_every_run_is_told(checker: Checker) -> None:
    configs = [BASE, BROKEN["option of a part"], BASE, LATER["heads"][0], BASE | {"trainer": None}]
    runs = [Run(Cell({}, {}), k, config, str(k)) for k, config in enumerate(configs)]
    errors = wrong(checker, runs)
    assert [run.seed for run, _ in errors] == [1, 3, 4]


def test_what_a_plugin_raises_is_an_error_of_its_runs_alone(
    checker: Checker, plugin: Callable[[str], str]
) -> None:
    file = plugin(
        "from vidiff.attention import Full\n"
        "from vidiff.registry import register\n\n\n"
        '@register("fragile")\n'
        "class Fragile(Full):\n"
        '    """Falls apart."""\n\n'
        "    def __init__(self, **given):\n"
        "        super().__init__(**given)\n"
        "        raise KeyError('nobody\\nexpects this')\n"
    )
    bad = changed(model__denoiser__attention="fragile") | {"plugins": [file]}
    runs = [Run(Cell({}, {}), k, config, str(k)) for k, config in enumerate([bad, BASE, bad])]
    errors = wrong(checker, runs)
    assert [run.seed for run, _ in errors] == [0, 2]
    assert errors[0][1] == "KeyError: 'nobody\\nexpects this'"
    missing = refused(checker, BASE | {"plugins": "none.py"})
    assert missing is not None
    assert "none.py' is not a file" in missing


def test_a_thousand_runs_that_differ_in_seeds_build_one_model(
    checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    build = models.Models.build

    def watch(self: models.Models, model: Any) -> Any:
        built.append(model)
        return build(self, model)

    monkeypatch.setattr(models.Models, "build", watch)
    base = changed(model__denoiser__depth=3)
    runs = [make_run(Cell({}, {"trainer.max_steps": 5 + k % 3}), base, k) for k in range(4)]
    assert wrong(checker, runs * 250) == []
    assert len(built) == 1


def test_models_of_one_structure_are_counted_once(
    checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidiff.costs import count as counting

    counted: list[str] = []
    for name in ("count_batch", "optimizer_products"):
        usual = getattr(counting, name)

        def watch(*args: Any, name: str = name, usual: Any = usual, **kwargs: Any) -> Any:
            counted.append(name)
            return usual(*args, **kwargs)

        monkeypatch.setattr(counting, name, watch)

    def count(**changes: Any) -> list[str]:
        counted.clear()
        checker.check(changed(model__denoiser__depth=4, **changes))
        return sorted(counted)

    both = ["count_batch", "optimizer_products"]
    assert count() == both
    assert count(model__prediction="epsilon") == []
    assert count(model__optimizer=part("muon_adamw", lr=0.5, muon_lr=0.1)) == []
    assert count(model__optimizer="adamw") == ["optimizer_products"]
    assert count(model__denoiser__width=48) == both
    assert count(model__denoiser__attention="alternating") == both
    assert count(data__batch_size=3) == ["count_batch"]
    assert count(data__dataset__height=32) == ["count_batch"]


# -- Costs ----------------------------------------------------------------------------------------

AUTOENCODER = part("causal_kl", folds=[[1, 2, 2]], width=[8], latent_channels=4)
PLANNED: dict[str, Config] = {
    **{
        name: changed(model__denoiser__conditioning=name)
        for name in ("adaln_zero", "adaln", "cross_attention", "in_context", "joint")
    },
    "unet": changed(model__denoiser=part("unet", width=16)),
    "adamw": changed(model__optimizer="adamw", trainer__precision="bf16-mixed"),
    "accumulate": changed(trainer__accumulate_grad_batches=3, trainer__devices=2),
    "sizes": changed(data__dataset__sizes=[[1, 16, 16], [4, 16, 32], [2, 16, 16]]),
    "autoencoder": BASE | {"model": part("AutoencoderTask", autoencoder=AUTOENCODER)},
    "latents": changed(model__autoencoder=AUTOENCODER),
}


@pytest.mark.parametrize("name", some_fast(PLANNED))
def test_costs_are_what_a_plan_says(checker: Checker, name: str) -> None:
    from vidiff.costs.configs import plan_settings
    from vidiff.costs.plan import plan

    config = PLANNED[name]
    costs = checker.costs(config)
    # As the command does it, from fit's own parse.
    parsed = checker.parser.parse_args(["fit", "-c", yaml.safe_dump(config)]).fit
    settings = plan_settings(parsed.trainer)
    clip = (4, 16, 32) if name == "sizes" else (2, 16, 16)
    task = checker._parser.instantiate("model", parsed.model)
    planned = plan(task, clip=clip, batch_size=2, **settings)
    assert costs.parameters == sum(part.trained for part in planned.parts.values())
    assert costs.parameters == checker.parameters(config)
    assert costs.flops_per_step == planned.flops + planned.optimizer_flops
    assert (costs.steps, costs.flops) == (2, 2 * costs.flops_per_step)
    assert costs.tokens == 2 * planned.tokens_per_step


def test_all_sizes_of_clips_must_fit(checker: Checker) -> None:
    sizes = [[4, 16, 32], [2, 16, 20]]
    message = refused(checker, changed(data__dataset__sizes=sizes))
    assert message is not None
    assert "20 latent width do not divide" in message


SIZELESS = """
import torch
from vidiff.data import VideoDataset
from vidiff.registry import register
from vidiff.types import LatentSample, VideoSample

@register("{name}")
class Sizeless(VideoDataset):
    '''Clips whose size only a look at them tells.'''

    num_sizes = 2

    def __init__(self, *, split):
        pass

    def __len__(self):
        return 4

    def __getitem__(self, index):
        f, h, w = [(2, 16, 16), (3, 16, 32)][index % 2]
        if "{name}" == "pixels":
            return VideoSample(torch.zeros(3, f, h, w), "", "")
        return LatentSample(torch.zeros(4, f, h // 2, w // 2), (f, h, w), "", "")
"""


def test_clips_are_looked_at_where_nothing_tells_their_size(
    checker: Checker, plugin: Callable[[str], str]
) -> None:
    sized = changed(model__autoencoder=AUTOENCODER, data__dataset__sizes=[[3, 16, 32]])
    known = checker.check(sized)
    files = {name: plugin(SIZELESS.format(name=name)) for name in ("pixels", "latents")}
    found = {
        name: checker.check(
            changed(model__autoencoder=AUTOENCODER, data__dataset=name) | {"plugins": [file]}
        )
        for name, file in files.items()
    }
    assert all(one.clips.sizes == ((2, 16, 16), (3, 16, 32)) for one in found.values())
    assert found["pixels"].counts == known.counts
    # Nothing is encoded in the second.
    encoding = found["pixels"].counts.flops - found["latents"].counts.flops
    assert encoding == encoder_flops(AUTOENCODER)


def encoder_flops(node: Config) -> int:
    """Of a batch, counted on real tensors."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from vidiff.autoencoders import CausalKL

    autoencoder = CausalKL(**node["init_args"]).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        autoencoder.encode(torch.zeros(2, 3, 3, 16, 32))
    return counter.get_total_flops()


@pytest.mark.parametrize("values", ["torch.ones(2, device=tokens.device)", "tokens"])
def test_a_part_that_looks_at_values_is_counted_if_a_plan_can(
    checker: Checker, plugin: Callable[[str], str], values: str
) -> None:
    file = plugin(
        "import torch\n"
        "from vidiff.attention import Full\n"
        "from vidiff.registry import register\n\n\n"
        '@register("looking")\n'
        "class Looking(Full):\n"
        '    """Full attention that looks at values."""\n\n'
        "    def forward(self, tokens, layout, mask=None):\n"
        f"        if not {values}.sum().isfinite().item():\n"
        "            return tokens\n"
        "        return super().forward(tokens, layout, mask)\n"
    )
    config = changed(model__denoiser__attention="looking") | {"plugins": [file]}
    config["model"]["init_args"]["denoiser"]["init_args"]["width"] = 512
    message = refused(checker, config)
    if values == "tokens":
        assert message is not None
        assert "decides by values what to compute" in message
    else:
        assert message is None
        assert checker.costs(config) == checker.costs(changed(model__denoiser__width=512))


# -- What is trained first ------------------------------------------------------------------------


def first(tmp_path: Path, **changes: Any) -> Config:
    return changed(
        model=part("AutoencoderTask", autoencoder=AUTOENCODER),
        trainer__default_root_dir=str(tmp_path / "first"),
        **changes,
    )


def reading(tmp_path: Path, folder: str) -> Config:
    checkpoint = tmp_path / folder / "checkpoints" / "last.ckpt"
    return changed(model__autoencoder=part("trained", checkpoint=str(checkpoint)))


def with_first(checker: Checker, *configs: Config) -> Checker:
    """A checker with configs that come first, without the seconds that it takes to be made."""
    made = object.__new__(Checker)
    made.__dict__ |= vars(checker)
    made._models = models.Models(checker._parser, configs)
    return made


def test_what_will_be_trained_stands_in_for_its_checkpoint(
    checker: Checker, tmp_path: Path
) -> None:
    late = with_first(checker, first(tmp_path))
    costs = late.costs(reading(tmp_path, "first"))
    assert costs == late.costs(changed(model__autoencoder=AUTOENCODER))
    assert costs.parameters != late.costs(BASE).parameters, "there are more channels"


def test_an_autoencoder_that_was_trained_is_read(checker: Checker, tmp_path: Path) -> None:
    from vidiff.__main__ import main

    config = first(tmp_path, trainer__max_steps=1, trainer__enable_progress_bar=False)
    assert main(["fit", "-c", yaml.safe_dump(config)]) == 0
    costs = checker.costs(reading(tmp_path, "first"))
    assert costs == checker.costs(changed(model__autoencoder=AUTOENCODER))


def test_a_checkpoint_that_nothing_writes_is_refused(checker: Checker, tmp_path: Path) -> None:
    late = with_first(checker, first(tmp_path))
    message = refused(late, reading(tmp_path, "other"))
    assert message is not None
    assert "last.ckpt does not exist, and no config under first writes there: train it" in message
    diffusion = changed(trainer__default_root_dir=str(tmp_path / "second"))
    message = refused(with_first(checker, diffusion), reading(tmp_path, "second"))
    assert message is not None
    assert message.endswith("will hold a DiffusionTask, and no autoencoder")
