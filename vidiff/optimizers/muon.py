"""Muon (Jordan et al. 2024), for matrices and for convolution kernels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from vidiff.optimizers.base import loss_of
from vidiff.precision import compute_dtype

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration (Jordan et al. 2024)."""


class Muon(Optimizer):
    """Momentum whose update is replaced by the nearest matrix with equal singular values.

    Unlike ``torch.optim.Muon``, it also takes kernels of convolutions, as matrices of outputs x
    everything else, and orthogonalises all matrices of one shape together, which on two CPU cores
    takes 0.6 to 0.8 of the time (experiments/benchmarks/muon.py).

    Args:
        params: parameters of at least two dimensions, or groups of them.
        lr: learning rate; updates have a root mean square of about ``1 / sqrt(inputs)``.
        momentum: of the moving average of gradients (Nesterov's).
        weight_decay: pull towards zero, times the learning rate (decoupled).
        num_iterations: Newton-Schulz iterations.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        num_iterations: int = 5,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay,
            "num_iterations": num_iterations,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2:
                    raise ValueError(
                        "Muon orthogonalises matrices, got a parameter of shape "
                        f"{list(parameter.shape)}: give it to AdamW"
                    )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = loss_of(closure)
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter, ahead in zip(parameters, self._momenta(parameters, group), strict=True):
                matrix = whole(ahead).flatten(1)
                alike[tuple(matrix.shape)].append((parameter, matrix))
            for (rows, columns), members in alike.items():
                stacked = torch.stack([matrix for _, matrix in members])
                updates = orthogonalise(stacked, group["num_iterations"])
                # So that an update has the same effect whatever the shape (Jordan et al. 2024).
                step = group["lr"] * max(1.0, rows / columns) ** 0.5
                moved = [parameter for parameter, _ in members]
                by = [sharded_like(u.view(p.shape), p) for p, u in zip(moved, updates, strict=True)]
                if group["weight_decay"]:
                    torch._foreach_mul_(moved, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_sub_(moved, by, alpha=step)
        return loss

    def _momenta(self, parameters: list[Tensor], group: dict[str, Any]) -> Sequence[Tensor]:
        """The moving averages of gradients, looked ahead by one step."""
        if not parameters:
            return []
        gradients: list[Tensor] = []
        for parameter in parameters:
            assert parameter.grad is not None
            gradients.append(parameter.grad)
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter.grad)
        averages = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        if hasattr(gradients[0], "placements"):  # for which the call below exists only in place
            pairs = zip(gradients, averages, strict=True)
            return [gradient.lerp(average, group["momentum"]) for gradient, average in pairs]
        return torch._foreach_lerp(gradients, averages, group["momentum"])


def orthogonalise(
    matrices: Tensor, num_iterations: int = 5, dtype: torch.dtype | None = None
) -> Tensor:
    """Matrices (k, rows, columns) with all singular values near one, by Newton-Schulz.

    Computed in ``dtype``: by default bfloat16 where the device is fast in it, else float32.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).to(dtype or compute_dtype(matrices.device))
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # singular values of at most one
    for _ in range(num_iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor gathered from all processes; any other one as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def sharded_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A tensor that every process has whole, sharded as ``like`` is."""
    if hasattr(like, "placements"):
        from torch.distributed.tensor import DTensor, distribute_tensor  # a second: not at the head

        assert isinstance(like, DTensor)
        # Every process has computed the same values: none needs to be sent.
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
    return tensor
