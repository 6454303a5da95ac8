"""The demo, served: python app.py"""

import signal

from demo import build_demo, launch_options
from demo.housekeeping import keep_house

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: uploads are deleted
    keep_house()
    build_demo().launch(**launch_options())
