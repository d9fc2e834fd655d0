package io.crescendo.memory;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.backend.Layers;
import java.util.List;
import java.util.Set;
import java.util.function.BiFunction;

/** Training programs of the sizes that are trained in earnest, for the planner's figures. */
record RealNetwork(String name, int batch, int extent, BiFunction<Layers, Value, Value> body) {
    static List<RealNetwork> all() {
        return List.of(
                new RealNetwork("plain CNN", 128, 28, RealNetwork::plain),
                new RealNetwork("wide ResNet 16-4", 128, 32, (l, x) -> wide(l, x, 2, 4)),
                new RealNetwork("wide ResNet 28-10", 128, 32, (l, x) -> wide(l, x, 4, 10)),
                new RealNetwork("ResNet-50", 64, 224, RealNetwork::resNet50),
                new RealNetwork("inception blocks", 32, 149, RealNetwork::inception));
    }

    RealNetwork withBatch(int newBatch) {
        return new RealNetwork(name, newBatch, extent, body);
    }

    Program program(Set<Fusion> fusions) {
        Tape tape = Tape.training(batch, 32);
        Layers layers = new Layers(tape);
        Value features = body.apply(layers, tape.images(3, extent, extent));
        tape.softmaxCrossEntropy(layers.dense(features, 100, true), tape.labels(), 0);
        return tape.program(fusions);
    }

    private static Value plain(Layers l, Value x) {
        Value y = x;
        for (int channels : new int[] {32, 64}) {
            y = l.tape().relu(l.conv(y, channels, Window.square(5, 1, 2), 1, true));
            y = l.tape().maxPool(y, Window.square(2, 2, 0));
        }
        return l.tape().dropout(l.tape().relu(l.dense(y, 512, true)), 0.5);
    }

    private static Value wide(Layers l, Value x, int blocks, int width) {
        Value y = l.conv(x, 16, 3, 1);
        for (int group = 0; group < 3; group++) {
            int channels = (16 * width) << group;
            for (int block = 0; block < blocks; block++) {
                int stride = group > 0 && block == 0 ? 2 : 1;
                Value active = l.tape().relu(l.norm(y));
                Value shortcut = block == 0 ? l.conv(active, channels, 1, stride) : y;
                Value inner = l.tape().relu(l.norm(l.conv(active, channels, 3, stride)));
                y = l.tape().add(l.conv(inner, channels, 3, 1), shortcut);
            }
        }
        return l.tape().globalAveragePool(l.tape().relu(l.norm(y)));
    }

    private static Value resNet50(Layers l, Value x) {
        Value y = l.tape().relu(l.norm(l.conv(x, 64, 7, 2)));
        y = l.tape().maxPool(y, Window.square(3, 2, 1));
        int[] blocks = {3, 4, 6, 3};
        for (int stage = 0; stage < 4; stage++) {
            int channels = 64 << stage;
            for (int block = 0; block < blocks[stage]; block++) {
                int stride = stage > 0 && block == 0 ? 2 : 1;
                Value inner = l.tape().relu(l.norm(l.conv(y, channels, 1, 1)));
                inner = l.tape().relu(l.norm(l.conv(inner, channels, 3, stride)));
                inner = l.norm(l.conv(inner, 4 * channels, 1, 1));
                Value shortcut = block == 0 ? l.norm(l.conv(y, 4 * channels, 1, stride)) : y;
                y = l.tape().relu(l.tape().add(inner, shortcut));
            }
        }
        return l.tape().globalAveragePool(y);
    }

    private static Value inception(Layers l, Value x) {
        Value y = unit(l, x, 32, 3, 2);
        for (int block = 0; block < 8; block++) {
            if (block % 3 == 2) {
                Window window = Window.square(3, 2, 1);
                y = l.tape().concat(List.of(unit(l, y, 96, 3, 2), l.tape().maxPool(y, window)));
            }
            Value one = unit(l, y, 32, 1, 1);
            Value three = unit(l, unit(l, y, 32, 1, 1), 48, 3, 1);
            Value five = unit(l, unit(l, unit(l, y, 32, 1, 1), 48, 3, 1), 64, 3, 1);
            Value all = l.tape().concat(List.of(one, three, five));
            Value up = l.conv(all, (int) y.shape().dim(1), Window.square(1, 1, 0), 1, true);
            y = l.tape().relu(l.tape().add(y, l.tape().scale(up, 0.17)));
        }
        return l.tape().dropout(l.tape().globalAveragePool(y), 0.2);
    }

    private static Value unit(Layers l, Value x, int channels, int kernel, int stride) {
        return l.tape().relu(l.norm(l.conv(x, channels, kernel, stride)));
    }

    @Override
    public String toString() {
        return name + ", batch " + batch;
    }
}
