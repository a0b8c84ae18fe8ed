"""latencies.csv: what is written is read."""

from segbench.timing.latencies import LatencyLine, read_compute_s, read_latencies, write_latencies

LINES = [LatencyLine("val/a,b.png", 0.012345678, 0.1), LatencyLine('with "quotes"', 1.5, 2.0, 1.25, 6.0)]


def test_lines_come_back_as_they_were_written(tmp_path):
    write_latencies(tmp_path / "latencies.csv", LINES)
    assert read_latencies(tmp_path / "latencies.csv") == LINES
    assert read_compute_s(tmp_path / "latencies.csv") == [0.012345678, 1.5]


def test_file_of_a_round_that_timed_nothing_has_its_heading_and_no_lines(tmp_path):
    write_latencies(tmp_path / "latencies.csv", [])
    assert (tmp_path / "latencies.csv").read_bytes() == b"image,compute_s,end_to_end_s,device_s,latency_s\n"
    assert read_latencies(tmp_path / "latencies.csv") == []
