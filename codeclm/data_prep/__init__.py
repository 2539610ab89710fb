"""From a corpus to training data: text to tokens, sound to codes, and the time of every token."""
