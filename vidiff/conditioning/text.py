"""How text features get the width of the model."""

from __future__ import annotations

from torch import nn


def text_map(width: int, text_dim: int, project_text: bool) -> nn.Module | None:
    """A module that maps text features (..., text_dim) to (..., d); None for a model without text.

    Args:
        width: width of a token.
        text_dim: width of the text features; 0 for a model without text.
        project_text: map them linearly; False takes them as they are.

    Raises:
        ValueError: if features that are to be taken as they are do not have the width of a token.
    """
    check_text_width(width, text_dim, project_text)
    if not text_dim:
        return None
    return nn.Linear(text_dim, width) if project_text else nn.Identity()


def check_text_width(width: int, text_dim: int, project_text: bool) -> None:
    """Refuse features that are to be taken as they are, and do not have the width of a token.

    Raises:
        ValueError: with both widths.
    """
    if text_dim and not project_text and text_dim != width:
        raise ValueError(
            f"project_text: false takes text features of width {text_dim} as they are, but tokens "
            f"have width {width}: set the text encoder's text_dim to {width}, or project_text: true"
        )
