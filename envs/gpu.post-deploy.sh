# Run by `make env-gpu`, and by Snakemake once the conda environment is made; `python` is that environment's.
set -euo pipefail
packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# TensorRT 8.5.3.1 has wheels up to Python 3.10 only. Paddle opens its libraries and nothing else of it, so that the 3.10
# wheel serves any Python.
python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target "$packages" \
    --only-binary=:all: --implementation cp --python-version 3.10 --abi cp310 --abi none tensorrt==8.5.3.1

# Paddle opens libcudnn.so, libnvinfer.so, … without version numbers, and looks beside its own libraries first; what these
# need in turn (libcublas.so.11, …) they look for in the same place. So no LD_LIBRARY_PATH is needed.
for library in "$packages"/tensorrt/lib*.so* "$packages"/nvidia/*/lib/lib*.so*; do
    name=$(basename "$library")
    target=../../${library#"$packages"/}
    ln -sf "$target" "$packages/paddle/libs/$name"
    ln -sf "$target" "$packages/paddle/libs/${name%%.so*}.so"
done

python -W ignore - <<'CHECK'
import zlib  # before paddle 2.6.2: see PaddlePaddle/Paddle#70538

import paddle.inference

compiled, found = paddle.inference.get_trt_compile_version(), paddle.inference.get_trt_runtime_version()
print(f"Paddle was compiled with TensorRT {compiled} and opens TensorRT {found}")
assert compiled == found == (8, 5, 3), "they should both be (8, 5, 3)"
CHECK
