#!/usr/bin/env python3
"""Records what the Python of `docs/weights.md` computes (float64), for a test without Python.

    pip install torch numpy safetensors
    python weights_forward.py

Writes `weights_forward.json` beside itself: `predictions`, for both tasks the predictions for the rows of step 0, K = 2, with the
initial weights, both as `movielens_steps.py` says.
"""
import json
import re
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from movielens_steps import K, batch, check_generator, initial, parameter_shapes

HERE = Path(__file__)
document = (HERE.parents[4] / "docs" / "weights.md").read_text()
exec(re.search("```python\n(.*?)```", document, re.DOTALL).group(1))

torch.set_num_threads(1)
check_generator()
with tempfile.TemporaryDirectory() as folder:
    file = f"{folder}/best.safetensors"
    save_file({name: initial(name, *spec) for name, spec in parameter_shapes().items()}, file)
    predictions = predict(file, *batch(0)[:2], K)
about = (f"Predictions of the MovieLens model in float64. Made by `python weights_forward.py` with torch {torch.__version__}; "
         "the script says what they are.")
recorded = {"about": about, "predictions": [task.tolist() for task in predictions]}
HERE.with_suffix(".json").write_text(json.dumps(recorded, indent=1) + "\n")
