"""What SegBench's command-line scripts share."""
