"""Named functions that are finite, value and derivative, and own their derivative where it pays."""
