"""The demo, served: python app.py"""

from demo import build_demo, launch_options

if __name__ == "__main__":
    build_demo().launch(**launch_options())
