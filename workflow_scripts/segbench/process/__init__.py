"""Supervise child processes: limit them, record why they ended, and leave none behind."""
