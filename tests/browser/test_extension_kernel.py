"""The extension's connection with the kernels of notebooks."""

from __future__ import annotations


def test_each_front_end_has_the_extension(open_in_front):
    notebook = open_in_front("1 + 1")

    assert notebook.page.evaluate("() => window.jupyterapp.isPluginActivated('flowgpt_magic:connections')")
