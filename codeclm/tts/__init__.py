"""Text to codec tokens: layouts, heads, the model, training and generation."""
