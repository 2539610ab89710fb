"""Cells side by side: trained at one budget, scored on the same items, shown on one page."""
