"""Parts of a task and the numbers of their parameters."""

from torch import nn

from vidiff.training.parts import Parameters, each_part, parts_of


def task():
    made = nn.Module()
    made.denoiser, made.ema = nn.Linear(3, 2), nn.Linear(3, 2)
    made.autoencoder = nn.Linear(5, 1).requires_grad_(False)
    made.conditions = nn.ModuleDict({"text": nn.Embedding(4, 2)})
    return made


def test_the_average_is_no_part_and_conditions_are_parts_of_their_own():
    parts = each_part(parts_of(task()))
    assert set(parts) == {"denoiser", "autoencoder", "conditions.text"}
    counts = {name: Parameters.of(part) for name, part in parts.items()}
    assert counts["denoiser"] == Parameters(trained=8, frozen=0)
    assert counts["autoencoder"] == Parameters(trained=0, frozen=6)
    assert counts["conditions.text"].total == 8


def test_what_two_modules_share_counts_once():
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    other.weight = one.weight
    assert Parameters.of(one, other) == Parameters(trained=6 + 2 + 2, frozen=0)
