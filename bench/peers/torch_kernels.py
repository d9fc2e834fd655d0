#!/usr/bin/env python3
"""Times PyTorch's fused and foreach optimizers alone, for the kernels part of bench/gpu.

Prints one line: RESULT and JSON with, for each optimizer and size, the median seconds of a step with an empty cache
and of one of many steps in a row. Numbers are normally distributed, times are the device's (CUDA events).

Before each timed region the device is kept busy for a while, so that the host is done issuing the step before the
device begins it: what is measured is the kernels, not Python. The cache is emptied as io.crescendo.cuda.KernelTimes
does it, by reading, not writing, memory that is larger. On a CPU the same runs by the host's clock, to try the script.
"""

import argparse
import json
import statistics
import sys
import time

try:
    import torch
except ImportError as missing:
    sys.exit("PyTorch is not there: %s" % missing)

FLUSH_BYTES = 512 << 20
REPEATS = 21
WARM_UP = 3
WARM_REPEATS = 5
STEPS_OF_WARM_REPEAT = 10
BUSY_CYCLES = 4_000_000  # for each step, some milliseconds: issuing a step over all tensors takes less

# What an update of one float32 parameter cannot do without: weight and gradient read, weight written, and each number
# of state read and written.
BYTES = {"sgd": 20, "adam": 28}


def optimizers(tensors):
    return {
        ("sgd", kind): lambda kind=kind: torch.optim.SGD(
            tensors, lr=1e-4, momentum=0.9, weight_decay=5e-4, **{kind: True}
        )
        for kind in ("fused", "foreach")
    } | {
        ("adam", kind): lambda kind=kind: torch.optim.Adam(tensors, lr=1e-6, weight_decay=5e-4, **{kind: True})
        for kind in ("fused", "foreach")
    }


def parameters(count, tensors, device):
    """As many tensors as a network has, all of one size but the last."""
    size = -(-count // tensors)
    sizes = [min(size, count - first) for first in range(0, count, size)]
    made = [torch.randn(n, device=device).requires_grad_() for n in sizes]
    for parameter in made:
        parameter.grad = torch.randn_like(parameter)
    return made


class Clock:
    def __init__(self, device):
        self.cuda = device == "cuda"
        elements = FLUSH_BYTES // 4 if self.cuda else 1 << 16
        self.flushed = torch.randn(elements, device=device)

    def flush(self):
        self.flushed.sum()

    def seconds(self, run, before, steps):
        """Of one run by the device's clock."""
        if not self.cuda:
            before()
            start = time.perf_counter()
            run()
            return time.perf_counter() - start
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(BUSY_CYCLES * steps)
        before()
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return 1e-3 * begin.elapsed_time(end)

    def median(self, repeats, run, before, steps=1):
        for _ in range(WARM_UP):
            self.seconds(run, before, steps)
        return statistics.median(self.seconds(run, before, steps) for _ in range(repeats)) / steps


def measure(clock, step):
    def steps():
        for _ in range(STEPS_OF_WARM_REPEAT):
            step()

    cold = clock.median(REPEATS, step, clock.flush)
    warm = clock.median(WARM_REPEATS, steps, lambda: None, STEPS_OF_WARM_REPEAT)
    return cold, warm


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="2700,25000,100000,500000", help="thousands of parameters")
    parser.add_argument("--tensors", type=int, default=161, help="that they are spread over, as in ResNet-50")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch %s sees no GPU" % torch.__version__)
    clock = Clock(options.device)
    times, failures = [], []
    for thousands in (int(size) for size in options.sizes.split(",")):
        for name, kind in (("sgd", "fused"), ("sgd", "foreach"), ("adam", "fused"), ("adam", "foreach")):
            what = "%s %s" % (name, kind)
            try:
                tensors = parameters(1000 * thousands, options.tensors, options.device)
                optimizer = optimizers(tensors)[name, kind]()
                cold, warm = measure(clock, optimizer.step)
                if not all(bool(torch.isfinite(t).all()) for t in tensors):
                    raise RuntimeError("a weight is no longer finite")
                times.append(
                    {
                        "optimizer": what,
                        "thousands": thousands,
                        "bytesPerParameter": BYTES[name],
                        "seconds": cold,
                        "cachedSeconds": warm,
                    }
                )
            except RuntimeError as error:  # out of memory, or not in this version
                failures.append("%s, %d thousand: %s" % (what, thousands, str(error).splitlines()[0]))
            tensors = optimizer = None
            if options.device == "cuda":
                torch.cuda.empty_cache()
    print("RESULT " + json.dumps({"torch": torch.__version__, "times": times, "failures": failures}), flush=True)


if __name__ == "__main__":
    main()
