"""Speech over HTTP and WebSocket: `codeclm serve`."""
