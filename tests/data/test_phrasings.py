"""Paraphrases name what captions name, in words of their own."""

import itertools
from collections import Counter

import pytest

from vidiff.conditions.words import split_words
from vidiff.data.phrasings import WORDINGS, all_sentences, sentence, words_for
from vidiff.data.shapes import COLOURS, COMBINATIONS, MOTIONS, SHAPES, parse_caption


def test_every_sentence_names_one_combination():
    sentences = Counter()
    for combination in COMBINATIONS:
        names = combination.colour, combination.shape, combination.motion
        for text in all_sentences(*names):
            assert parse_caption(text) == combination
            sentences[text] += 1
    assert set(sentences.values()) == {1}
    assert set(WORDINGS) == {*COLOURS, *SHAPES, *MOTIONS}


def test_colours_and_shapes_of_paraphrases_occur_in_no_caption():
    known = {
        word
        for name in WORDINGS
        for words in words_for(name, "several")
        for word in split_words(words)
    }
    for name in (*COLOURS, *SHAPES):
        for words in words_for(name, "paraphrases"):
            assert not known & set(split_words(words)), words
    for name in MOTIONS:
        assert not set(words_for(name, "several")) & set(words_for(name, "paraphrases"))


def test_phrasings_choose_among_their_words():
    combination = parse_caption("a red square moves left")
    assert combination.phrased("names", (0.9, 0.9, 0.9)) == "a red square moves left"
    choices = ((0.0, 0.9), (0.0, 0.9), (0.0, 0.4, 0.9))
    drawn = {combination.phrased("several", uniform) for uniform in itertools.product(*choices)}
    assert len(drawn) == 2 * 2 * 3
    assert combination.phrased("paraphrases", (0.0, 0.0, 0.0)) == "a crimson box drifts to the left"
    assert sentence("emerald", "box", "rises") == "an emerald box rises"


def test_what_nobody_listed_is_refused():
    for wrong in ("a crimson box", "crimson box rises", "a red box jumps", "an red box rises"):
        with pytest.raises(ValueError, match="colours are red, green"):
            parse_caption(wrong)
