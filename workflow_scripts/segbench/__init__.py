"""What SegBench's command-line scripts share.

Nothing that they import may call home. ONNX Runtime 1.32 sends telemetry and leaves an identity in the user's cache
folder unless this variable is set; OpenVINO and NNCF do likewise where they find the package that is hidden here.
"""

import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing it then fails: they do without
