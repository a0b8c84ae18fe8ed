"""The report. Its plots' names stand here so that rules learn them without importing a plotting library."""

# In the page's order; each is results/plots/NAME.svg and .png, with its caption in report/NAME.rst.
PLOTS = (
    "accuracy_latency", "speed_up", "accuracy_loss", "latencies", "iou_per_class",
    "build_time", "engine_size", "memory",
)  # fmt: skip
