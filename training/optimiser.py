"""The optimiser of the networks: Muon (Jordan 2024) for matrices within them, AdamW for all else."""

import torch
from torch import nn

MOMENTUM = 0.95
DECAY = 0.05  # of the matrices, times the rate
ADAM_DECAY = 0.01
# Coefficients of the quintic Newton-Schulz iteration of Jordan's Muon: five steps bring singular values near 1.
STEPS, LINEAR, CUBIC, QUINTIC = 5, 3.4445, -4.7750, 2.0315


class Muon:
    """Steps along the momentum of each matrix, with all singular values made equal.

    A convolution's weights are a matrix of its outputs and all else. Steps are as large as AdamW's, 0.2 times the rate
    in the root mean square (Liu et al. 2025), so one rate serves both.

    Parameters
    ----------
    others : beginnings of the names of what AdamW changes nevertheless: what makes the outputs (Jordan 2024)
    rate : of both, which `set_rate` changes
    """

    def __init__(self, network: nn.Module, others: tuple[str, ...], rate: float) -> None:
        self.matrices, rest = [], []
        for name, weights in network.named_parameters():
            (self.matrices if weights.ndim > 1 and not name.startswith(others) else rest).append(weights)
        self.momenta = [torch.zeros_like(weights) for weights in self.matrices]
        self.adam = torch.optim.AdamW(rest, lr=rate, weight_decay=ADAM_DECAY)
        self.rate = rate

    def set_rate(self, rate: float) -> None:
        """Set the rate of the steps that follow."""
        self.rate = rate
        for group in self.adam.param_groups:
            group["lr"] = rate

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.adam.zero_grad()
        for weights in self.matrices:
            weights.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights by their gradients."""
        self.adam.step()
        for weights, momentum in zip(self.matrices, self.momenta, strict=True):
            if weights.grad is not None:
                momentum.lerp_(weights.grad, 1 - MOMENTUM)
                ahead = weights.grad.lerp(momentum, MOMENTUM)  # Nesterov's
                step = orthogonal(ahead.flatten(1))
                size = 0.2 * max(step.shape) ** 0.5
                weights.mul_(1 - self.rate * DECAY).sub_(step.reshape(weights.shape), alpha=self.rate * size)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return the matrix with singular values between about 0.7 and 1.2."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T).bfloat16()
    x = x / (x.norm() + 1e-12)
    for _ in range(STEPS):
        square = x @ x.T
        x = LINEAR * x + (CUBIC * square + QUINTIC * square @ square) @ x
    return (x if wide else x.T).to(matrix.dtype)
