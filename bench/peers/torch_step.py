#!/usr/bin/env python3
"""PyTorch's side of bench/gpu: one training step of the same networks, measured on request.

Started by io.crescendo.bench.gpu, which writes commands to standard input, one a line, and reads one line of JSON,
marked "RESULT ", for each:

    (start)            networks built, compiled and warmed up   {"ready": true, "parameters": ...}
    measure SECONDS    training steps for that long             {"stepMillis": [one mean per block], ...}
    memory             the most it took since it was ready      {"allocatedBytes": ..., "reservedBytes": ...}
    grow BATCH N       N updates at another batch, one by one   {"batch": ..., "millis": [...]}
    (with --budget)    the largest batch that trains in it      {"batch": ..., "allocatedBytes": ...}, then end
    losses FOLDER      three float32 updates from Crescendo's weights and batch in FOLDER, eager   {"losses": [...]}
    quit

The settings are those PyTorch's own guides recommend for speed: channels_last, autocast to bfloat16, torch.compile
with max-autotune (Triton templates, CUDA graphs), the fused optimizer, cudnn.benchmark, and the batch resident in
device memory. Nothing waits for the device within a block.
"""
import argparse
import gc
import json
import os
import sys
import time

import torch
from torch import nn
from torch.nn import functional

LEARNING_RATE = 1e-3
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4


class Block(nn.Module):
    """Pre-activation block; where channels or extent change, a 1x1 convolution of the activated input."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        changes = inputs != outputs or stride != 1
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, x):
        activated = functional.relu(self.norm1(x))
        residual = x if self.shortcut is None else self.shortcut(activated)
        y = self.conv1(activated)
        y = self.conv2(functional.relu(self.norm2(y)))
        return y + residual


class WideResNet(nn.Module):
    """Zagoruyko and Komodakis 2016, arXiv 1605.07146. WRN-16-4 on 32x32x3 with 10 classes: 2,748,890 parameters."""

    def __init__(self, depth, width, channels, classes):
        super().__init__()
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        inputs = 16
        for group in range(3):
            outputs = (16 << group) * width
            layers = nn.ModuleDict()
            for block in range(blocks):
                layers["block%d" % (block + 1)] = Block(inputs, outputs, 2 if group > 0 and block == 0 else 1)
                inputs = outputs
            setattr(self, "group%d" % (group + 1), layers)
        self.norm = nn.BatchNorm2d(inputs)
        self.logits = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.conv1(x)
        for group in (self.group1, self.group2, self.group3):
            for block in group.values():
                x = block(x)
        x = functional.relu(self.norm(x))
        return self.logits(x.mean((2, 3)))


class FashionCnn(nn.Module):
    """conv3x3 to 32, norm, ReLU, pool, conv3x3 to 64, norm, ReLU, pool, linear: 50,282 parameters on 28x28x1."""

    def __init__(self, channels, height, width, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(64)
        self.logits = nn.Linear(64 * (height // 4) * (width // 4), classes)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.norm1(self.conv1(x))), 2)
        x = functional.max_pool2d(functional.relu(self.norm2(self.conv2(x))), 2)
        return self.logits(x.flatten(1))


class Conv(nn.Conv2d):
    """Without bias, with a norm behind it and perhaps a ReLU."""

    def __init__(self, inputs, outputs, kernel, stride, relu):
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x):
        x = self.norm(super().forward(x))
        return functional.relu(x) if self.relu else x


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the channels, plus the input, ReLU: the block of v1.5."""

    def __init__(self, inputs, inner, stride):
        super().__init__()
        self.conv1 = Conv(inputs, inner, 1, 1, True)
        self.conv2 = Conv(inner, inner, 3, stride, True)
        self.conv3 = Conv(inner, 4 * inner, 1, 1, False)
        nn.init.zeros_(self.conv3.norm.weight)
        self.shortcut = Conv(inputs, 4 * inner, 1, stride, False) if inputs != 4 * inner else None

    def forward(self, x):
        y = self.conv3(self.conv2(self.conv1(x)))
        return functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet50(nn.Module):
    """He et al. 2015, arXiv 1512.03385, in the form v1.5: 25,557,032 parameters on 224x224x3 with 1000 classes."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = Conv(3, 64, 7, 2, True)
        inputs = 64
        for stage, blocks in enumerate((3, 4, 6, 3)):
            layers = nn.ModuleDict()
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers["block%d" % (block + 1)] = Bottleneck(inputs, 64 << stage, stride)
                inputs = 4 * (64 << stage)
            setattr(self, "stage%d" % (stage + 1), layers)
        self.logits = nn.Linear(inputs, classes)

    def forward(self, x):
        x = functional.max_pool2d(self.conv1(x), 3, 2, 1)
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4):
            for block in stage.values():
                x = block(x)
        return self.logits(x.mean((2, 3)))


def network(name):
    """The network and the shape of its images; the same names as in io.crescendo.models.Models."""
    if name == "fashion-cnn":
        return FashionCnn(1, 28, 28, 10), (1, 28, 28)
    if name == "resnet-50":
        return ResNet50(1000), (3, 224, 224)
    parts = name.split("-")
    if parts[:2] == ["wide", "resnet"] and len(parts) == 4:
        return WideResNet(int(parts[2]), int(parts[3]), 3, 10), (3, 32, 32)
    sys.exit("unknown network '%s'; known are fashion-cnn, resnet-50, wide-resnet-DEPTH-WIDTH" % name)


def optimizer(model, fused):
    """SGD with momentum; weight decay on the weights of convolutions and linear layers only."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    options = {"fused": True} if fused else {}
    return torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=MOMENTUM, **options)


def set_float32(tf32):
    """tf32 in convolutions and matrix products, or plain float32.

    By the older of PyTorch's two ways to say it: compiling reads that one, and refuses to where the newer
    fp32_precision was set (from PyTorch 2.9 on).
    """
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32


class Step:
    """One training step on a batch that stays in device memory."""

    def __init__(self, options, dynamic=False):
        self.options = options
        self.device = torch.device(options.device)
        self.cuda = self.device.type == "cuda"
        torch.manual_seed(1)
        torch.backends.cudnn.benchmark = True
        set_float32(options.precision == "tf32")
        model, self.shape = network(options.network)
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = optimizer(self.model, fused=self.cuda)
        self.load(options.batch)
        forward = self.forward
        if options.mode != "eager":
            forward = torch.compile(forward, mode=options.mode, dynamic=dynamic)
        self.compiled = forward

    def load(self, batch):
        """Another batch of noise."""
        self.images = self.labels = None
        # The range of normalised pixels, as in Crescendo's FixedBatch.
        images = torch.rand((batch,) + self.shape, device=self.device) * 3.4 - 1.7
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(0, self.model.logits.out_features, (batch,), device=self.device)

    def forward(self, images, labels):
        bf16 = self.options.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = self.model(images)
        return functional.cross_entropy(logits.float(), labels)

    def run(self):
        loss = self.compiled(self.images, self.labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def timed(self, steps):
        """Seconds per step of a block that starts and ends with an idle device; of the host for issuing the first."""
        self.wait()
        start = time.perf_counter()
        self.run()
        issued = time.perf_counter()
        for _ in range(steps - 1):
            self.run()
        self.wait()
        return (time.perf_counter() - start) / steps, issued - start

    def prepare(self):
        start = time.perf_counter()
        first = float(self.run())
        # Compilers specialise, graphs are recorded and the allocator settles within a few steps.
        for _ in range(11):
            last = float(self.run())
        self.wait()
        seconds = time.perf_counter() - start
        if not last < first:
            sys.exit("updates on one batch must lower its loss, but it went from %g to %g" % (first, last))
        if self.cuda:
            torch.cuda.empty_cache()  # what only compiling needed
            torch.cuda.reset_peak_memory_stats()
        device = torch.cuda.get_device_name() if self.cuda else "cpu"
        return {
            "ready": True,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "prepareSeconds": seconds,
            "description": "PyTorch %s, %s, %s, %s%s"
            % (
                torch.__version__,
                device,
                self.options.mode,
                self.options.precision,
                ", cuDNN %s" % torch.backends.cudnn.version() if self.cuda else "",
            ),
        }

    def measure(self, seconds):
        # Blocks of about a tenth of the time: long against one wait, and enough of them for a median.
        steps = max(1, int(seconds / 10 / self.timed(2)[0]))
        millis, host = [], []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(millis) < 3:
            whole, issuing = self.timed(steps)
            millis.append(1e3 * whole)
            host.append(1e6 * issuing)
        return {"stepMillis": millis, "hostMicros": host, "stepsPerBlock": steps}

    def grow(self, batch, updates):
        """Milliseconds of updates at another batch, each from an idle device to an idle device."""
        try:
            self.load(batch)
            millis, losses = [], []
            for _ in range(updates):
                self.wait()
                start = time.perf_counter()
                loss = self.run()
                self.wait()
                millis.append(1e3 * (time.perf_counter() - start))
                losses.append(float(loss))
        except torch.cuda.OutOfMemoryError as error:
            return {"batch": batch, "failure": str(error).splitlines()[0]}
        if not losses[-1] < losses[0]:
            sys.exit("updates at batch %d must lower the loss, but it went from %g to %g" % (batch, losses[0], losses[-1]))
        return {"batch": batch, "millis": millis}

    def memory(self):
        if not self.cuda:
            return {"allocatedBytes": 0, "reservedBytes": 0}
        return {
            "allocatedBytes": torch.cuda.max_memory_allocated(),
            "reservedBytes": torch.cuda.max_memory_reserved(),
        }


def losses(options, folder):
    """Three updates in float32, not compiled, from the weights and on the batch that Crescendo wrote."""
    set_float32(False)
    with open(os.path.join(folder, "index.json")) as file:
        index = json.load(file)
    model, shape = network(options.network)
    values = torch.from_file(
        os.path.join(folder, "weights.f32"), size=sum(p["elements"] for p in index["parameters"]), dtype=torch.float32
    )
    named = dict(model.named_parameters())
    at = 0
    for parameter in index["parameters"]:
        layer, kind = parameter["name"].rsplit(".", 1)
        target = named.pop(layer + "." + {"scale": "weight", "shift": "bias"}.get(kind, kind))
        if list(target.shape) != parameter["shape"]:
            sys.exit("%s is %s here and %s there" % (parameter["name"], list(target.shape), parameter["shape"]))
        with torch.no_grad():
            target.copy_(values[at : at + parameter["elements"]].view(target.shape))
        at += parameter["elements"]
    if named:
        sys.exit("parameters that Crescendo does not have: %s" % ", ".join(named))
    batch = index["batch"]
    pixels = batch * shape[0] * shape[1] * shape[2]
    images = torch.from_file(os.path.join(folder, "images.f32"), size=pixels, dtype=torch.float32)
    labels = torch.from_file(os.path.join(folder, "labels.i32"), size=batch, dtype=torch.int32)
    device = torch.device(options.device)
    model = model.to(device)
    images = images.view((batch,) + shape).to(device)
    labels = labels.long().to(device)
    update = optimizer(model, fused=False)
    found = []
    for _ in range(3):
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        update.step()
        update.zero_grad()
        found.append(float(loss))
    return {"losses": found}


class Capacity:
    """The largest batch, in multiples of options.batch, that trains two updates in options.budget bytes.

    The budget is the caching allocator's: what it reserves, workspaces of cuBLAS and cuDNN included, context and code
    excluded. On a CPU the process's data segment is limited instead, to try the script.
    """

    def __init__(self, options):
        self.multiple = options.batch
        self.budget = options.budget
        self.until = time.perf_counter() + options.limit
        self.cuda = options.device != "cpu"
        if self.cuda:
            free, total = torch.cuda.mem_get_info()
            self.free = free
            torch.cuda.set_per_process_memory_fraction(min(1.0, options.budget / total))
        self.step = Step(options, dynamic=True)
        # Timing candidates takes memory, and time for each batch that is tried.
        torch.backends.cudnn.benchmark = False
        if not self.cuda:
            self.limit_data()
        self.found = {}

    def limit_data(self):
        import resource

        for _ in range(2):  # threads and what is compiled
            self.step.run()
        with open("/proc/self/status") as file:
            held = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmData"))
        resource.setrlimit(resource.RLIMIT_DATA, (held + self.budget, resource.RLIM_INFINITY))

    def release(self):
        self.step.images = self.step.labels = None
        self.step.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def fits(self, multiples):
        """Whether so many multiples do; remembers what they took."""
        self.release()
        batch = multiples * self.multiple
        failed = False
        try:
            self.step.load(batch)
            for _ in range(2):
                start = time.perf_counter()
                loss = float(self.step.run())
                self.step.wait()
                millis = 1e3 * (time.perf_counter() - start)
        except (RuntimeError, MemoryError) as error:
            # On a CPU whatever finds no room first fails, in its own words.
            # cuDNN without room for any workspace finds no engine.
            full = isinstance(error, torch.cuda.OutOfMemoryError) or "unable to find an engine" in str(error)
            if self.cuda and not full:
                raise
            print("batch %d: %s" % (batch, str(error).splitlines()[:1]))
            failed = True
        if failed:
            return False
        taken = {"batch": batch, "secondMillis": millis, "loss": loss, "allocatedBytes": 0}
        if self.cuda:
            taken["allocatedBytes"] = torch.cuda.max_memory_reserved()
            taken["deviceBytes"] = self.free - torch.cuda.mem_get_info()[0]
            if taken["allocatedBytes"] > self.budget:
                return False
        self.found[multiples] = taken
        return True

    def largest(self):
        low, high = 0, None
        guess = 1
        while (high is None or high - low > 1) and time.perf_counter() < self.until:
            if self.fits(guess):
                low = guess
            else:
                high = guess
            guess = self.next(low, high)
        if low == 0:
            sys.exit("not even a batch of %d fits, or there was no time to see" % self.multiple)
        return {**self.found[low], "exact": high is not None and high - low == 1}

    def next(self, low, high):
        """By the line through the two largest that fit, where the device says what they took; by halves otherwise."""
        doubled = 2 * low if high is None else (low + high) // 2
        known = sorted(self.found)[-2:]
        if len(known) < 2:
            return max(1, doubled)
        first, last = (self.found[k]["allocatedBytes"] for k in known)
        slope = (last - first) / (known[1] - known[0])
        if slope <= 0:
            return doubled
        guess = known[1] + max(1, int((self.budget - last) / slope))
        if high is not None and guess >= high:
            return doubled
        return guess


def capacity(options):
    search = Capacity(options)
    result = search.largest()
    return {**result, "description": "PyTorch %s, %s, %s" % (torch.__version__, options.mode, options.precision)}


def answer(result):
    print("RESULT " + json.dumps(result), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="wide-resnet-16-4")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="bf16")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--mode", default="max-autotune", help="of torch.compile, or eager")
    parser.add_argument("--losses", metavar="FOLDER", help="answer only that command, then end")
    parser.add_argument("--budget", type=int, help="bytes: answer the largest multiple of --batch, then end")
    parser.add_argument("--limit", type=float, default=60, help="seconds to look for it")
    options = parser.parse_args()
    if options.budget:
        answer(capacity(options))
        sys.stdin.readline()  # until asked to end, so that the driver can be asked what the process holds
        return
    if options.losses:
        answer(losses(options, options.losses))
        return
    step = Step(options)
    answer(step.prepare())
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "measure":
            answer(step.measure(float(argument)))
        elif command == "grow":
            batch, updates = argument.split()
            answer(step.grow(int(batch), int(updates)))
        elif command == "memory":
            answer(step.memory())
        elif command == "quit":
            return
        else:
            sys.exit("unknown command '%s'" % line.strip())


if __name__ == "__main__":
    main()
