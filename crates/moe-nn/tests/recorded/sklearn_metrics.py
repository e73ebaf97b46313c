#!/usr/bin/env python3
"""Records scikit-learn's metrics of small data sets, for a test that compares them.

    pip install scikit-learn
    python sklearn_metrics.py

Writes `sklearn_metrics.json` beside itself. Fields, each a list of cases:
    binary      logits, positive -> auc (null with one class only), log_loss, and, with logits above 0 predicted to be
                positive, accuracy, f1, matthews
    multiclass  logits (rows of `classes`), labels -> cross_entropy (log_loss of the softmax), and, with the first of the
                largest logits predicted, accuracy, macro_f1, matthews
    regression  predicted, actual -> mse, rmse
    partitions  a, b -> adjusted_rand_index
"""
import json
import math
import random
import warnings
from pathlib import Path

import sklearn
from sklearn import metrics

draw = random.Random(38)


def binary(logits, positive):
    predicted = [z > 0 for z in logits]
    probabilities = [1 / (1 + math.exp(-z)) for z in logits]
    auc = metrics.roc_auc_score(positive, logits)
    return {
        "logits": logits, "positive": positive,
        "auc": None if math.isnan(auc) else auc,
        "log_loss": metrics.log_loss(positive, probabilities, labels=[False, True]),
        "accuracy": metrics.accuracy_score(positive, predicted),
        "f1": metrics.f1_score(positive, predicted),
        "matthews": metrics.matthews_corrcoef(positive, predicted),
    }


def multiclass(classes, logits, labels):
    rows = [logits[i:i + classes] for i in range(0, len(logits), classes)]
    predicted = [row.index(max(row)) for row in rows]
    powers = [[math.exp(z) for z in row] for row in rows]
    probabilities = [[p / math.fsum(row) for p in row] for row in powers]
    return {
        "classes": classes, "logits": logits, "labels": labels,
        "cross_entropy": metrics.log_loss(labels, probabilities, labels=range(classes)),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "matthews": metrics.matthews_corrcoef(labels, predicted),
    }


def regression(predicted, actual):
    return {
        "predicted": predicted, "actual": actual,
        "mse": metrics.mean_squared_error(actual, predicted),
        "rmse": metrics.root_mean_squared_error(actual, predicted),
    }


def partitions(a, b):
    return {"a": a, "b": b, "adjusted_rand_index": metrics.adjusted_rand_score(a, b)}


def labels(rows, classes):
    return [draw.randrange(classes) for _ in range(rows)]


def logits(rows, places=3):
    return [round(draw.gauss(0, 2), places) for _ in range(rows)]


def flags(rows, share=0.5):
    return [draw.random() < share for _ in range(rows)]


def record():
    binary_cases = [
        (logits(40), flags(40)),
        (logits(60, 0), flags(60, 0.2)),  # many ties, zeros among them
        ([0.0] * 6, flags(6)),  # all tied: nothing is predicted to be positive
        ([1.5, -0.5, 0.25], [True] * 3),
        ([1.5, -0.5, 0.25], [False] * 3),
        ([-1.0, -2.0], [False, False]),  # no positive, predicted or actual
        ([-1.0, -2.0], [True, True]),
        ([1.0, 2.0], [True, True]),
        ([1.0, -2.0], [False, True]),  # all wrong
        ([3.0], [True]),
    ]
    multiclass_cases = [
        (4, logits(4 * 30), labels(30, 4)),
        (3, logits(3 * 25, 0), labels(25, 3)),  # ties within rows
        (5, logits(5 * 12), labels(12, 2)),  # classes that never occur
        (2, logits(2 * 20), labels(20, 2)),
        (3, [0.0, 1.0, 0.5] * 4, [1] * 4),  # one class on both sides
        (3, [0.0, 1.0, 0.5] * 4, [0, 1, 2, 1]),  # one class predicted
        (3, [0.0, 1.0, 0.5, 2.0, 1.0, 0.0], [0, 1]),  # none right
    ]
    partition_cases = [
        (labels(30, 3), labels(30, 4)),
        (labels(50, 2), labels(50, 9)),
        ([0, 0, 1, 1, 2, 2], [5, 5, 3, 3, 4, 4]),  # the same under other names
        ([0, 0, 1, 1], [0, 1, 0, 1]),
        ([0, 0, 0], [0, 1, 2]),
        ([7, 7, 7], [1, 1, 1]),
        ([0, 1, 2], [2, 0, 1]),
        ([4], [9]),
        ([], []),
    ]
    return {
        "about": f"Made by `python sklearn_metrics.py` with scikit-learn {sklearn.__version__}; the script describes the "
                 "fields.",
        "binary": [binary(*case) for case in binary_cases],
        "multiclass": [multiclass(*case) for case in multiclass_cases],
        "regression": [regression(logits(30), logits(30)), regression([1.0], [1.0]), regression([1e6], [-2.5])],
        "partitions": [partitions(*case) for case in partition_cases],
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # about scores without a denominator
    text = json.dumps(record())
    for field in ["binary", "multiclass", "regression", "partitions"]:
        text = text.replace(f'"{field}":', f'\n"{field}":')
    Path(__file__).with_name("sklearn_metrics.json").write_text(text.replace("}, {", "},\n{") + "\n")
