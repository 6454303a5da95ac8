"""Start the web server of the Gradio demo."""

from demo import build_demo
from demo.serving.server import run

if __name__ == "__main__":
    run(build_demo())
