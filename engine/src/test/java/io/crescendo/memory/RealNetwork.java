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
                new RealNetwork("wide ResNet 28-10", 128, 32, (l, x) -> wide(l, x, 4, 10)));
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

    @Override
    public String toString() {
        return name + ", batch " + batch;
    }
}
