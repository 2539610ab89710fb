"""A model as ONNX graphs, and a runtime that speaks from them without torch.

`write` makes the graphs (it needs `onnx`), `run` speaks from them (it needs `onnxruntime`). Graphs
hold no weights: they name those of the model's own file, which are handed to them when they load.
So a graph is some kilobytes, and the same weights serve torch and ONNX Runtime.
"""
