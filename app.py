"""The demo, served: python app.py"""

from demo import build_demo, launch_options
from demo.memory import return_memory

if __name__ == "__main__":
    return_memory()
    build_demo().launch(**launch_options())
