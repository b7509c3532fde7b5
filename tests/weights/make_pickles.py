"""Writes ``tiny_zip.pt`` and ``tiny_stream.pt``: a training program's file in both formats.

python tests/weights/make_pickles.py
"""

import argparse
import pathlib

import torch


def main() -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {
        "whole": base,
        "turned": base.T,
        "part": base[1:3, 2:5],
        "parameter": torch.nn.Parameter(torch.full((2,), 7.0)),
        "half": base[0].half(),
        "brain": base[1].bfloat16(),
        "whole_numbers": torch.arange(3),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }
    content = {
        "epoch": 3,
        "args": argparse.Namespace(lr=1e-3, device=torch.device("cpu")),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "dtype": torch.float32},
        "state_dict": tensors,
    }
    here = pathlib.Path(__file__).parent
    torch.save(content, here / "tiny_zip.pt")
    torch.save(content, here / "tiny_stream.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
