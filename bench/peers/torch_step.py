#!/usr/bin/env python3
"""PyTorch's side of bench/gpu: one training step of the same networks, measured on request.

Started by io.crescendo.bench.gpu, which writes commands to standard input, one a line, and reads one line of JSON,
marked "RESULT ", for each:

    (start)            networks built, compiled and warmed up   {"ready": true, "parameters": ...}
    measure SECONDS    training steps for that long             {"stepMillis": [one mean per block], ...}
    memory             the most it took since it was ready      {"allocatedBytes": ..., "reservedBytes": ...}
    losses FOLDER      three float32 updates from Crescendo's weights and batch in FOLDER, eager   {"losses": [...]}
    quit

The settings are those PyTorch's own guides recommend for speed: channels_last, autocast to bfloat16, torch.compile
with max-autotune (Triton templates, CUDA graphs), the fused optimizer, cudnn.benchmark, and the batch resident in
device memory. Nothing waits for the device within a block.
"""
import argparse
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


def network(name):
    """The network and the shape of its images; the same names as in io.crescendo.models.Models."""
    if name == "fashion-cnn":
        return FashionCnn(1, 28, 28, 10), (1, 28, 28)
    parts = name.split("-")
    if parts[:2] == ["wide", "resnet"] and len(parts) == 4:
        return WideResNet(int(parts[2]), int(parts[3]), 3, 10), (3, 32, 32)
    sys.exit("unknown network '%s'; known are fashion-cnn, wide-resnet-DEPTH-WIDTH" % name)


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

    def __init__(self, options):
        self.options = options
        self.device = torch.device(options.device)
        self.cuda = self.device.type == "cuda"
        torch.manual_seed(1)
        torch.backends.cudnn.benchmark = True
        set_float32(options.precision == "tf32")
        model, shape = network(options.network)
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = optimizer(self.model, fused=self.cuda)
        # The range of normalised pixels, as in Crescendo's FixedBatch.
        images = torch.rand((options.batch,) + shape, device=self.device) * 3.4 - 1.7
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 10, (options.batch,), device=self.device)
        forward = self.forward
        if options.mode != "eager":
            forward = torch.compile(forward, mode=options.mode, dynamic=False)
        self.compiled = forward

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
    options = parser.parse_args()
    if options.losses:
        answer(losses(options, options.losses))
        return
    step = Step(options)
    answer(step.prepare())
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "measure":
            answer(step.measure(float(argument)))
        elif command == "memory":
            answer(step.memory())
        elif command == "quit":
            return
        else:
            sys.exit("unknown command '%s'" % line.strip())


if __name__ == "__main__":
    main()
