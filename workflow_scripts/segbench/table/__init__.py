"""Make the table: one row per model and variant, its columns, its forms, and comparisons of rows."""
