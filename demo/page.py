"""The page: its head, a file a tab, its API."""

import warnings

import gradio as gr

from demo import answers, api, classify, compare, experiments, explore
from demo.serving.blocks import ServedBlocks

ABOUT = """# What does a small network see?

A network sorts a picture into one of ten kinds: airplane, automobile, bird, cat, deer, dog, frog,
horse, ship or truck. It learned from 35,000 pictures of 32 by 32 pixels. Try one, and see which
part of it made the network decide.
"""
FOR_PROGRAMS = "Programs can ask the networks too: see [the API](?view=api)."


def build_demo() -> gr.Blocks:
    """The whole page, ready to answer.

    Raises:
        VariantError: no trained variant is shipped.
    """
    # Nobody can act on these: Pillow warns of damaged pictures besides refusing them, and gradio of
    # its own use of pandas.
    warnings.filterwarnings("ignore", module="PIL|gradio")
    answers.warm_up()
    with ServedBlocks(title="MobileNetV3 on CIFAR-10") as page:
        gr.Markdown(ABOUT, elem_id="about")
        with gr.Tab("Classify"):
            classify.build()
        with gr.Tab("Compare"):
            compare.build()
        with gr.Tab("Experiments"):
            experiments.build()
        with gr.Tab("Explore") as tab:
            explore.build(tab)
        gr.Markdown(FOR_PROGRAMS, elem_id="for-programs")
        api.build()
    return page.queue()
