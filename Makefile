.PHONY: install lint test slow coverage demo api

API = tts.generate tts.voice tts.sampling tts.guard tts.model tts.layouts tts.heads tts.train \
	codecs codecs.base corpus data_prep.prepare data_prep.text compare.cells evaluation.asr evaluation.speech

install: ; pip install -e ".[dev]"
lint: ; ruff check . && ruff format --check . && mypy
test: ; pytest
slow: ; pytest -m slow
coverage: ; coverage run --source=codeclm -m pytest && coverage report --sort=cover
api: ; pdoc -d google -o runs/api $(addprefix codeclm.,$(API))
demo: ; codeclm speak "Hello. I am made of codec tokens." --out hello.wav
