"""Which codec? They are measured side by side, probed, listened to, and chosen by stated rules."""
