"""The clock, and all that makes its figures trustworthy: rounds, disturbance, intervals."""
