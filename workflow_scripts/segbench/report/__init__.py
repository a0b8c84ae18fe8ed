"""The report. Its plots' names stand here, so that rules know them without importing a plotting library."""

# Each plot's name, as in results/plots/NAME.svg and .png, and its caption, in the page's order. The captions
# of Snakemake's own report, report/NAME.rst, are made from these by `make docs`.
PLOTS = {
    "accuracy_latency": "Further left is faster, further up more accurate. A ring is the Pareto front: no other"
    " variant was shown to be faster without being less accurate, or more accurate without being slower. What is faint"
    " has a reason against it, and is not eligible. Bars are 95% intervals, from three rounds on.",
    "speed_up": "The model's native FP32 time over the variant's. Lines are 95% intervals of that ratio: rounds of"
    " one block are compared as pairs, others through the control. What is faint has a reason against it, or is over a"
    " row that has one. The table below has the speed-ups over the fastest FP32 row of another engine too, and over the"
    " FP32 row of the same engine.",
    "throughput": "Images per second over how long an image takes, its whole batch or its turn in a stream. A line"
    " joins the settings of a variant: its batches (b), its streams (s), its numbers of threads (t). A ring is the"
    " smallest setting whose throughput is within 5% of the variant's best.",
    "size_accuracy": "The same network at several sizes of its input (`sweep.size`). Images are resized to it, and"
    " scored at their own size.",
    "size_time": "The time of an image at these sizes. Both axes are logarithmic, so that a time that grows with the"
    " number of pixels is a straight line.",
    "accuracy_loss": "Change of mIoU against the model's reference variant, on the same images. Without mIoU, the share"
    " of pixels that differ.",
    "latencies": "A tick is an image, a dot a round's median; a round is a process of its own. Rounds apart from each"
    " other are drift, two clusters in one round are two modes: look at both before trusting a median.",
    "iou_per_class": "Bright is good. A gap is a class that occurs neither in the labels nor in the predictions.",
    "build_time": "Seconds that the engine took to be built, calibration apart.",
    "engine_size": "Size of the built engine's files.",
    "memory": "Largest memory of the timed process, the framework and one image included.",
}
# The page has these where rows ran at several settings, or networks at several sizes (key sweep).
SWEPT = ("throughput", "size_accuracy", "size_time")
