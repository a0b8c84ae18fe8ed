"""Time engines: the clock, rounds, disturbance, and intervals."""
