"""Figures in words."""

from __future__ import annotations

import math
import re

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from flowgpt_magic.prompt.attachments import describe
from tests.described import notice


class TestMatplotlib:
    @pytest.fixture
    def figure(self):
        figure, (left, right) = plt.subplots(1, 2)
        figure.suptitle("Both")
        left.plot([1, 2, 3], [4, 5, math.nan], label="measured")
        left.set(title="Left", xlabel="time / s", yscale="log")
        left.legend()
        right.bar([1, 2], [3, 4], label="counts")
        right.scatter([1, 2], [3, 4])
        right.imshow(np.zeros((3, 4)))
        yield figure
        plt.close(figure)

    def test_a_figure_is_told_in_words(self, figure):
        text = describe("fig", figure, 500)

        assert text.startswith("fig: matplotlib figure, 2 axes, 'Both'\n- axes 1: 'Left'\n  - x: 'time / s', linear, ")
        assert "  - y: '', log, " in text
        assert "  - legend: measured\n" in text
        assert "  - line 'measured': 3 points, x 1 to 3, y 4 to 5\n" in text
        assert "  - bars 'counts': 2, heights 3 to 4\n" in text
        assert "2 points, x 1 to 2, y 3 to 4\n" in text
        assert "  - image of (3, 4), 0 to 0" in text

    def test_axes_are_told_without_the_others(self, figure):
        text = describe("ax", figure.axes[0], 500)

        assert text.startswith("ax: matplotlib axes\n- axes 1: 'Left'")
        assert "bars" not in text

    def test_one_with_much_in_it_is_cut_by_lines(self):
        figure, axes = plt.subplots()
        axes.plot(np.zeros((2, 200)))

        assert re.fullmatch(r"… \d+ of 203 lines are not shown", notice(figure, 200))
        plt.close(figure)
