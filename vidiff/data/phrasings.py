"""Words for what MovingShapes shows: those of captions, and paraphrases that captions never have.

A caption is "a COLOUR SHAPE MOTION". Each of the three has a name, other words that captions in
several phrasings use too, and words that only paraphrases use. No word of a paraphrase for a colour
or a shape occurs in any caption; those for motions share directions with them ("drifts to the
left"). With these a text encoder is asked what it brings along: see experiments/text_encoders.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal, NamedTuple

Phrasing = Literal["names", "several", "paraphrases"]
"""Which words captions are made of: names, names and others, or those that neither has."""


class Wording(NamedTuple):
    """Words for one colour, shape or motion, besides its name."""

    several: tuple[str, ...]
    paraphrases: tuple[str, ...]


WORDINGS: dict[str, Wording] = {
    "red": Wording(("scarlet",), ("crimson", "ruby")),
    "green": Wording(("jade",), ("emerald", "lime")),
    "blue": Wording(("sapphire",), ("cobalt", "navy")),
    "yellow": Wording(("lemon",), ("golden", "canary")),
    "magenta": Wording(("fuchsia",), ("purple", "violet")),
    "cyan": Wording(("turquoise",), ("aqua", "teal")),
    "circle": Wording(("disc",), ("ball", "dot")),
    "square": Wording(("block",), ("box", "quadrangle")),
    "triangle": Wording(("wedge",), ("pyramid", "delta")),
    "cross": Wording(("crosspiece",), ("plus sign", "plus")),
    "moves left": Wording(
        ("goes left", "travels to the left"), ("drifts to the left", "slides leftwards")
    ),
    "moves right": Wording(
        ("goes right", "travels to the right"), ("drifts to the right", "slides rightwards")
    ),
    "moves up": Wording(("goes up", "travels upwards"), ("rises", "climbs to the top")),
    "moves down": Wording(("goes down", "travels downwards"), ("falls", "sinks to the bottom")),
    "stays still": Wording(("stands still", "does not move"), ("rests in place", "is motionless")),
}
"""By the name of a colour, a shape or a motion."""


def words_for(name: str, phrasing: Phrasing) -> tuple[str, ...]:
    """The words for a colour, a shape or a motion under a phrasing."""
    if phrasing == "names":
        return (name,)
    wording = WORDINGS[name]
    return (name, *wording.several) if phrasing == "several" else wording.paraphrases


def sentence(colour: str, shape: str, motion: str) -> str:
    """For example "an emerald box drifts to the left"."""
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape} {motion}"


def all_sentences(colour: str, shape: str, motion: str) -> Iterator[str]:
    """Every sentence for these names, with the words of all phrasings."""
    words = ((name, *itertools.chain(*WORDINGS[name])) for name in (colour, shape, motion))
    return itertools.starmap(sentence, itertools.product(*words))
