"""The house codecs: a mel autoencoder with a bottleneck inside, and one vocoder behind them all."""
