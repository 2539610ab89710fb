.PHONY: install lint test slow demo

install: ; pip install -e ".[dev]"
lint: ; ruff check . && ruff format --check . && mypy
test: ; pytest
slow: ; pytest -m slow
demo: ; codeclm speak "Hello. I am made of codec tokens." --out hello.wav
