"""Child processes under supervision: limits, reasons for their ends, and none left behind."""
