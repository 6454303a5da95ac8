"""This package downloads CIFAR-10, and trains, measures and publishes the networks."""

import importlib.util
import sys

# fmt: off
REQUIRED = ("accelerate", "filelock", "jinja2", "matplotlib", "onnx", "onnxruntime", "onnxscript",
            "pyarrow", "sklearn")
# fmt: on
if missing := [name for name in REQUIRED if importlib.util.find_spec(name) is None]:
    names = ", ".join(missing)
    sys.exit(f"error: training needs {names}: pip install '.[training]'")
