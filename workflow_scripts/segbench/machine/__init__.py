"""What this machine is and what runs on it, read without importing any framework."""
