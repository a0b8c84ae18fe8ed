"""The library that SegBench's command-line scripts share.

Nothing that the scripts import may send data over the network. ONNX Runtime 1.32 sends telemetry and leaves an identity
in the user's cache folder unless this variable is set. OpenVINO and NNCF send telemetry where they find the package
that is hidden here.
"""

import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# An import of it then fails, and both work without it.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
