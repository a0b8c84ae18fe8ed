"""What TensorRT and TensorRT for RTX share: parsing, building, sessions on a GPU."""
