"""Whole nodes are replaced, and nothing of the old ones stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from vidiff.ablation.ask.nodes import get, replace

BASE: dict[str, Any] = {
    "seed_everything": 0,
    "data": {"batch_size": 8},
    "model": {
        "class_path": "DiffusionTask",
        "init_args": {
            "denoiser": {
                "class_path": "dit",
                "init_args": {
                    "width": 96,
                    "conditioning": {"class_path": "joint", "init_args": {"qk_norm": True}},
                    "attention": "full",
                },
            },
            "prediction": "flow",
        },
    },
}


def denoiser(config: dict[str, Any]) -> Any:
    return config["model"]["init_args"]["denoiser"]


def test_nothing_leaks_from_the_node_that_is_replaced() -> None:
    changed = replace(BASE, {"model.denoiser.conditioning": {"class_path": "adaln"}})
    assert denoiser(changed)["init_args"]["conditioning"] == {"class_path": "adaln"}
    changed = replace(BASE, {"model.denoiser": "unet"})
    assert denoiser(changed) == "unet"


def test_the_base_stays_as_it_is_and_shares_nothing_with_the_copy() -> None:
    before, node = copy.deepcopy(BASE), {"class_path": "adaln", "init_args": {"gate": [1]}}
    changed = replace(BASE, {"model.denoiser.conditioning": node})
    denoiser(changed)["init_args"]["conditioning"]["init_args"]["gate"].append(2)
    assert before == BASE
    assert node["init_args"] == {"gate": [1]}


def test_a_bare_name_gets_settings() -> None:
    changed = replace(BASE, {"model.denoiser.attention.qk_norm": True})
    assert denoiser(changed)["init_args"]["attention"] == {
        "class_path": "full",
        "init_args": {"qk_norm": True},
    }


def test_what_is_inside_another_is_replaced_inside_the_new_one_whatever_the_order() -> None:
    outer, inner = {"model.denoiser": {"class_path": "dit"}}, {"model.denoiser.width": 8}
    for nodes in ({**outer, **inner}, {**inner, **outer}):
        assert denoiser(replace(BASE, nodes)) == {"class_path": "dit", "init_args": {"width": 8}}


@pytest.mark.parametrize(
    ("key", "value"),
    [("trainer.max_steps", 5), ("seed_everything", 3), ("data.dataset", "moving_shapes")],
)
def test_plain_options_are_set_where_the_base_has_none(key: str, value: Any) -> None:
    assert get(replace(BASE, {key: value}), key) == value


def test_a_part_of_a_node_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no model.sampler in the base config to set model.s"):
        replace(BASE, {"model.sampler.num_steps": 3})
    with pytest.raises(ValueError, match="batch_size of the base config is 8"):
        replace(BASE, {"data.batch_size.x": 3})


def test_nodes_are_found_by_the_keys_that_users_type() -> None:
    assert get(BASE, "model.denoiser.width") == 96
    assert get(BASE, "model.denoiser.conditioning.qk_norm") is True
    assert get(BASE, "model.denoiser.depth", 4) == 4
    assert get(BASE, "model.denoiser.attention.qk_norm") is None
