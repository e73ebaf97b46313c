#!/usr/bin/env python3
"""Records 50 PyTorch training steps (float64) of the MovieLens model, for a test that repeats them.

    pip install torch numpy
    python movielens_steps.py

Writes `movielens_plain.json` (no dropout) and `movielens_dropout.json` (recorded masks, rate 0.5) beside itself.
No tensor is stored: weights, batches and masks are formulas over the counter-based generator of `moe-core`
(`random::Philox`), which is repeated and checked below. `words(PURPOSE, STEP, row, second, third)` stands for
`Philox::new(38, PURPOSE, STEP).row_block(row, second, third)`, `unit(w)` for `(w >> 8) / 2^24`.

Weights   element i of parameter NAME, in row-major order: `scale * (2 unit(w) - 1)`, where w is word i % 4 of
          words("init." + NAME, 0, i // 4, 0, 0). The scale is 0.05 for embeddings and biases and
          sqrt(6 / (fan_in + fan_out)) for matrices (those of one expert, for the experts); 1 for those of the gates,
          whose logits are then well apart. The seed was chosen for a large `min_gap` in both runs: a row on the edge
          between two experts goes one way in float64 and the other in float32, and tells nothing.
Batches   step t = 0..49, position p = 0..127: the row's id is r = 128 t + p; [a, b, c, d] = words("rows", 0, r, 0, 0);
          user = a % 6040, movie = b % 3952, watch = c & 1, rating = 0 if watch is 0, else 1 + d % 5.
Masks     step t, row id r, expert e, column c: let w be word (c // 16) % 4 of
          words("dropout.experts", t, r, e, 16 (c // 64) + c % 16); the factor is 0 if unit(w) < 0.5, else 2.
          This is `keep_mask`. Both gates see the same masked output of an expert.

Model     h = [user embedding, movie embedding] (256 columns); expert e gives f_e = mask * relu(h W_e + b_e);
          gate g has logits h W + b, a softmax over the two largest, zeros elsewhere; y_g = sum_e gate_ge f_e;
          head g gives o_g = relu(y_g W1 + b1) W2 + b2. All matrices are stored [in, out]. The reference is dense: all
          experts see all rows.
Loss      0.5 * BCE with logits (o_0, watch; mean over the batch)
          + 0.5 * sum over the rows with a rating of (o_1 - rating)^2 / number of such rows.
Update    torch.optim.Adam, lr 5e-4, betas (0.9, 0.999), eps 1e-7, on all parameters (dense for embeddings).

Fields    losses      total loss of each step, before its update
          terms       [BCE, masked MSE] of each step, not yet weighted by 0.5
          slots       pairs (row, expert) of each step that at least one gate uses
          min_gap     smallest distance of the 2nd and 3rd largest logit, over all steps, rows and gates
          parameters  NAME -> after the last step: `norm` (L2), `moved` (L2 distance from the initial value) and
                      `sketch`: 64 sums; element i is added to number i % 64, with sign + if the lowest bit of
                      word i % 4 of words("sketch." + NAME, 0, i // 4, 0, 0) is 1, else -. The distance of two
                      sketches estimates the L2 distance of the tensors.
"""
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

SEED, STEPS, BATCH, EXPERTS, K, RATE = 38, 50, 128, 16, 2, 0.5
USERS, MOVIES, WIDTH, BUCKETS = 6040, 3952, 256, 64
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def parameter_shapes():
    """NAME -> (shape, scale)."""
    def matrix(*shape):
        return shape, math.sqrt(6 / (shape[-2] + shape[-1]))

    def small(*shape):
        return shape, 0.05

    shapes = {
        "encoder.user.weight": small(USERS, WIDTH // 2),
        "encoder.movie.weight": small(MOVIES, WIDTH // 2),
        "layer.experts.weight": matrix(EXPERTS, WIDTH, WIDTH),
        "layer.experts.bias": small(EXPERTS, WIDTH),
    }
    for g in range(2):
        shapes[f"layer.gates.{g}.weight"] = (WIDTH, EXPERTS), 1.0
        shapes[f"layer.gates.{g}.bias"] = small(EXPERTS)
    for g in range(2):
        shapes[f"heads.{g}.0.weight"] = matrix(WIDTH, WIDTH)
        shapes[f"heads.{g}.0.bias"] = small(WIDTH)
        shapes[f"heads.{g}.1.weight"] = matrix(WIDTH, 1)
        shapes[f"heads.{g}.1.bias"] = small(1)
    return shapes


def philox(key, counter):
    """Philox 4x32-10: four words for each counter; the arguments hold 32-bit words and broadcast."""
    k0, k1 = key
    x0, x1, x2, x3 = np.broadcast_arrays(*(np.asarray(x, dtype=np.uint64) for x in counter))
    for _ in range(10):
        p0, p1 = x0 * np.uint64(0xD2511F53), x2 * np.uint64(0xCD9E8D57)
        x0, x1, x2, x3 = (p1 >> HALF) ^ x1 ^ np.uint64(k0), p1 & LOW, (p0 >> HALF) ^ x3 ^ np.uint64(k1), p0 & LOW
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack([x0, x1, x2, x3])


def words(purpose, step, row, second=0, third=0, seed=SEED):
    """`Philox::new(seed, purpose, step).row_block(row, second, third)`; the words are along axis 0."""
    name = 0xCBF29CE484222325
    for byte in purpose.encode():
        name = (name ^ byte) * 0x100000001B3 % 2**64
    halves = [half for x in (name, step) for half in (x % 2**32, x >> 32)]
    low, high = philox((seed % 2**32, seed >> 32), halves)[:2]
    row = np.asarray(row, dtype=np.uint64)
    return philox((int(low), int(high)), (row & LOW, row >> HALF, second, third))


def check_generator():
    """The known answers of the algorithm's authors, and the value that `moe-core` pins."""
    zeros, ones = philox([0] * 2, [0] * 4), philox([2**32 - 1] * 2, [2**32 - 1] * 4)
    assert zeros.tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert ones.tolist() == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi = philox((0xA4093822, 0x299F31D0), (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344))
    assert pi.tolist() == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
    assert words("dropout", 3, 11, 5, 0, seed=7).tolist() == [3035618017, 468571779, 1628495369, 230632346]


def element_words(purpose, n):
    """One word per element: word i % 4 of block i // 4."""
    return words(purpose, 0, np.arange((n + 3) // 4)).T.reshape(-1)[:n]


def unit(word):
    return (word >> np.uint64(8)).astype(np.float64) / 2.0**24


def initial(name, shape, scale):
    value = scale * (2 * unit(element_words("init." + name, math.prod(shape))) - 1)
    return torch.from_numpy(value.reshape(shape))


def batch(step):
    row = np.arange(BATCH * step, BATCH * (step + 1))
    a, b, c, d = (w.astype(np.int64) for w in words("rows", 0, row))
    watch = c & 1
    columns = a % USERS, b % MOVIES, watch.astype(np.float64), (watch * (1 + d % 5)).astype(np.float64)
    return [torch.from_numpy(column) for column in columns]


def dropout_factors(step):
    """[BATCH, EXPERTS, WIDTH] factors."""
    row = np.arange(BATCH * step, BATCH * (step + 1))[:, None, None]
    draws = words("dropout.experts", step, row, np.arange(EXPERTS)[:, None], np.arange(WIDTH // 4))
    # Axes word, row, expert, chunk, lane; the columns of a chunk of 64 run over its words, then over the lanes.
    draws = draws.reshape(4, BATCH, EXPERTS, WIDTH // 64, 16).transpose(1, 2, 3, 0, 4)
    return torch.from_numpy(np.where(unit(draws) < RATE, 0.0, 1 / (1 - RATE)).reshape(BATCH, EXPERTS, WIDTH))


def forward(w, user, movie, factors):
    """Both heads' outputs, the (row, expert) pairs in use, and the smallest distance of the 2nd and 3rd logit."""
    h = torch.cat([F.embedding(user, w["encoder.user.weight"]), F.embedding(movie, w["encoder.movie.weight"])], 1)
    f = torch.relu(torch.einsum("bd,ndo->bno", h, w["layer.experts.weight"]) + w["layer.experts.bias"]) * factors
    outputs, gaps = [], []
    used = torch.zeros(BATCH, EXPERTS, dtype=torch.bool)
    for g in range(2):
        logits = h @ w[f"layer.gates.{g}.weight"] + w[f"layer.gates.{g}.bias"]
        top, chosen = logits.topk(K + 1, dim=1)
        gaps.append((top[:, K - 1] - top[:, K]).min().item())
        chosen = chosen[:, :K]
        used.scatter_(1, chosen, True)
        gate = torch.zeros_like(logits).scatter(1, chosen, torch.softmax(top[:, :K], 1))
        y = torch.einsum("bn,bno->bo", gate, f)
        hidden = torch.relu(y @ w[f"heads.{g}.0.weight"] + w[f"heads.{g}.0.bias"])
        outputs.append((hidden @ w[f"heads.{g}.1.weight"] + w[f"heads.{g}.1.bias"]).squeeze(1))
    return outputs, used, min(gaps)


def sketch(name, value):
    flat = value.numpy().reshape(-1)
    sign = np.where(element_words("sketch." + name, flat.size) & np.uint64(1), 1.0, -1.0)
    return np.bincount(np.arange(flat.size) % BUCKETS, weights=sign * flat, minlength=BUCKETS).tolist()


def record(title, dropout):
    start = {name: initial(name, *spec) for name, spec in parameter_shapes().items()}
    w = {name: value.clone().requires_grad_() for name, value in start.items()}
    adam = torch.optim.Adam(w.values(), lr=5e-4, betas=(0.9, 0.999), eps=1e-7)
    losses, terms, slots, min_gap = [], [], [], math.inf
    for step in range(STEPS):
        user, movie, watch, rating = batch(step)
        outputs, used, gap = forward(w, user, movie, dropout_factors(step) if dropout else 1.0)
        rated = (rating != 0).double()
        bce = F.binary_cross_entropy_with_logits(outputs[0], watch)
        mse = (rated * (outputs[1] - rating) ** 2).sum() / rated.sum()
        loss = 0.5 * bce + 0.5 * mse
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        terms.append([bce.item(), mse.item()])
        slots.append(int(used.sum()))
        min_gap = min(min_gap, gap)
    final = {name: value.detach() for name, value in w.items()}
    return {
        "about": f"{STEPS} training steps of the MovieLens model in float64, {title}. Made by "
                 f"`python movielens_steps.py` with torch {torch.__version__}; the script describes the fields.",
        "losses": losses, "terms": terms, "slots": slots, "min_gap": min_gap,
        "parameters": {name: {"norm": value.norm().item(), "moved": (value - start[name]).norm().item(),
                              "sketch": sketch(name, value)} for name, value in final.items()},
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    check_generator()
    for run, title in [("plain", "without dropout"), ("dropout", f"with dropout masks of rate {RATE}")]:
        recorded = record(title, dropout=run == "dropout")
        Path(__file__).with_name(f"movielens_{run}.json").write_text(json.dumps(recorded, indent=1) + "\n")
        print(run, "losses", recorded["losses"][0], "to", recorded["losses"][-1], "min_gap", recorded["min_gap"])
