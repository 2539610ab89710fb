"""`codeclm export`: a model as graphs that run without torch."""

from pathlib import Path
from typing import Annotated

import typer

from codeclm.cli.common import OwnCodec, check_model


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder, a hub name, or [b]starter[/b].")
    ],
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX graphs.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A new folder with all that speaking needs; default: beside the weights."
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Of the backbone: [b]fp32[/b] or [b]int8[/b].")
    ] = "fp32",
    codec: OwnCodec = None,
) -> None:
    """Write a model as ONNX graphs; `codeclm speak --model` runs them without torch."""
    if not onnx:
        raise ValueError("say as what to export it: --onnx")
    check_model(model)
    from importlib.util import find_spec

    if find_spec("onnx") is None:
        raise ValueError('exporting needs the extra `onnx`: pip install "codeclm[onnx]"')
    from codeclm.tts.exported.write import export

    folder = export(model, out, codec, precision)
    print(f'{folder}: try it with codeclm speak "Hello." --model {folder}')
