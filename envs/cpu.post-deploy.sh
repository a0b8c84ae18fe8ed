# Run by Snakemake once the environment is made. Without its dependencies: their pins conflict with the ones of cpu.yaml.
set -euo pipefail
pip install --no-deps paddleseg==2.8.0
