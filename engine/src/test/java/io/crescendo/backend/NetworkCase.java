package io.crescendo.backend;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.function.BiFunction;

/**
 * A small network with odd sizes that puts one operation, or one fused form, between parameters before and after it, so
 * that its result, its input gradient and its weight gradients all show in the gradient pack.
 *
 * @param name the operation and its sizes, for failure messages
 * @param batch samples
 * @param ghostBatch samples per statistic
 * @param channels image channels
 * @param height image rows
 * @param width image columns
 * @param classes logits per sample
 * @param smoothing label smoothing
 * @param body from the images to the last features; a dense layer to the logits follows
 */
public record NetworkCase(
        String name,
        int batch,
        int ghostBatch,
        int channels,
        int height,
        int width,
        int classes,
        double smoothing,
        BiFunction<Layers, Value, Value> body) {

    /** The training program for some number of samples. */
    public Program training(int samples, Set<Fusion> fusions) {
        return record(Tape.training(samples, ghostBatch), fusions);
    }

    /** The training program for the whole batch. */
    public Program training(Set<Fusion> fusions) {
        return training(batch, fusions);
    }

    /** The inference program, with a loss, logits kept. */
    public Program inference(Set<Fusion> fusions) {
        return record(Tape.inference(batch), fusions);
    }

    private Program record(Tape tape, Set<Fusion> fusions) {
        Layers layers = new Layers(tape);
        Value features = body.apply(layers, tape.images(channels, height, width));
        Value logits = tape.keep(layers.dense(features, classes, true));
        tape.softmaxCrossEntropy(logits, tape.labels(), smoothing);
        return tape.program(fusions);
    }

    @Override
    public String toString() {
        return name + " (" + batch + ", " + channels + ", " + height + ", " + width + ") ghost " + ghostBatch
                + ", classes " + classes + ", smoothing " + smoothing;
    }

    /** The same network at other sizes. */
    public NetworkCase withBatch(int newBatch, int newGhostBatch) {
        return new NetworkCase(name, newBatch, newGhostBatch, channels, height, width, classes, smoothing, body);
    }

    /** Every operation and fused form at random sizes. */
    public static List<NetworkCase> operations(Random random) {
        List<NetworkCase> cases = new ArrayList<>();
        Maker m = new Maker(random, cases);
        // Convolutions: plain, asymmetric, strided, grouped, pointwise, with every optional part.
        for (boolean bias : new boolean[] {false, true}) {
            m.add("conv 3x3 bias " + bias, (l, x) -> l.conv(m.stem(l, x), m.odd, Window.square(3, 1, 1), 1, bias));
            m.add("conv strided bias " + bias, (l, x) -> l.conv(m.stem(l, x), m.odd, Window.square(3, 2, 1), 1, bias));
        }
        m.add("conv 1x1 stride 2", (l, x) -> l.conv(m.stem(l, x), m.odd, Window.square(1, 2, 0), 1, false));
        m.add(
                "conv 3x2 stride 1x2 pad 0,1,2,0",
                (l, x) -> l.conv(m.stem(l, x), m.odd, new Window(3, 2, 1, 2, 0, 1, 2, 0), 1, true));
        m.add("conv 2x4 stride 3x1", (l, x) -> l.conv(m.stem(l, x), 1, new Window(2, 4, 3, 1, 1, 3, 0, 2), 1, true));
        // The convolution that is written first gets its gradient last, and adds it to the other's.
        m.add("conv beside conv with margins", (l, x) -> {
            Value stem = m.stem(l, x);
            Value margins = l.conv(stem, m.odd, new Window(3, 3, 1, 1, 0, 2, 2, 0), 1, false);
            return l.tape().add(margins, l.conv(stem, m.odd, 3, 1));
        });
        m.add("conv with margins beside conv", (l, x) -> {
            Value stem = m.stem(l, x);
            Value plain = l.conv(stem, m.odd, 3, 1);
            return l.tape().add(plain, l.conv(stem, m.odd, new Window(3, 3, 1, 1, 0, 2, 2, 0), 1, false));
        });
        m.add("conv 3 groups", (l, x) -> l.conv(l.conv(x, 6, 1, 1), 9, Window.square(3, 1, 1), 3, true));
        m.add("conv depthwise", (l, x) -> l.conv(l.conv(x, 5, 1, 1), 5, Window.square(3, 2, 1), 5, false));
        m.add("conv on images only", (l, x) -> l.conv(x, m.odd, Window.square(3, 1, 1), 1, true));
        m.add("conv relu", (l, x) -> l.tape().relu(l.conv(m.stem(l, x), m.odd, Window.square(3, 1, 1), 1, true)));
        m.add("conv add", (l, x) -> {
            Value stem = m.stem(l, x);
            return l.tape().add(stem, l.conv(stem, m.channels, 3, 1));
        });
        m.add("conv add relu", (l, x) -> {
            Value stem = m.stem(l, x);
            return l.tape().relu(l.tape().add(l.conv(stem, m.channels, 3, 1), stem));
        });
        m.add("conv add images", (l, x) -> l.tape().relu(l.tape().add(l.conv(x, m.imageChannels, 3, 1), x)));
        // Normalisation, alone and fused.
        m.add("norm", (l, x) -> l.norm(m.stem(l, x)));
        m.add("norm relu", (l, x) -> l.tape().relu(l.norm(m.stem(l, x))));
        m.add("norm add", (l, x) -> l.tape().add(l.norm(m.stem(l, x)), l.conv(x, m.channels, 1, 1)));
        m.add("norm add relu", (l, x) -> {
            Value stem = m.stem(l, x);
            return l.tape().relu(l.tape().add(stem, l.norm(l.conv(stem, m.channels, 3, 1))));
        });
        m.add("norm add images", (l, x) -> l.tape().relu(l.tape().add(l.norm(l.conv(x, m.imageChannels, 3, 1)), x)));
        m.add("norm of images", (l, x) -> l.tape().relu(l.norm(x)));
        m.add("two norms added", (l, x) -> {
            Value stem = m.stem(l, x);
            return l.tape().relu(l.tape().add(l.norm(stem), l.norm(l.conv(stem, m.channels, 3, 1))));
        });
        m.add("norm on one pixel", (l, x) -> l.norm(l.tape().globalAveragePool(m.stem(l, x))));
        // The rest.
        m.add("relu", (l, x) -> l.tape().relu(m.stem(l, x)));
        m.add("add to itself", (l, x) -> {
            Value stem = m.stem(l, x);
            return l.tape().add(stem, stem);
        });
        m.add(
                "add relu",
                (l, x) -> l.tape()
                        .relu(l.tape().add(l.tape().relu(m.stem(l, x)), l.tape().scale(x2(l, m, x), 0.5))));
        m.add("scale", (l, x) -> l.tape().scale(m.stem(l, x), -1.75));
        m.add("concat", (l, x) -> {
            Value stem = m.stem(l, x);
            return l.conv(l.tape().concat(List.of(stem, l.conv(x, 1, 1, 1), x, stem)), m.odd, 3, 1);
        });
        m.add("fan-out", (l, x) -> {
            Value stem = l.tape().relu(m.stem(l, x));
            Value once = l.tape().add(l.conv(stem, m.channels, 3, 1), stem);
            Value twice = l.tape().add(l.norm(stem), once);
            return l.tape().add(l.tape().relu(twice), l.conv(twice, m.channels, 1, 1));
        });
        m.add("max pool 2/2", (l, x) -> l.tape().maxPool(m.stem(l, x), Window.square(2, 2, 0)));
        m.add("max pool 3/2 pad 1", (l, x) -> l.tape().maxPool(m.stem(l, x), Window.square(3, 2, 1)));
        m.add(
                "max pool 3x2/1x2",
                (l, x) -> l.tape().maxPool(l.tape().relu(m.stem(l, x)), new Window(3, 2, 1, 2, 2, 0, 1, 1)));
        m.add("max pool of images", (l, x) -> l.conv(l.tape().maxPool(x, Window.square(2, 1, 0)), 3, 1, 1));
        m.add("average pool 2/2", (l, x) -> l.tape().averagePool(m.stem(l, x), Window.square(2, 2, 0)));
        m.add("average pool 3/1 pad 1", (l, x) -> l.tape().averagePool(m.stem(l, x), Window.square(3, 1, 1)));
        m.add("average pool 2x3/3x1", (l, x) -> l.tape().averagePool(m.stem(l, x), new Window(2, 3, 3, 1, 0, 2, 1, 0)));
        m.add("global average pool", (l, x) -> l.tape().globalAveragePool(m.stem(l, x)));
        m.add("dense", (l, x) -> l.tape().relu(l.dense(m.stem(l, x), 7, true)));
        m.add("dense without bias", (l, x) -> l.dense(l.dense(x, 5, false), 3, false));
        m.add("dropout", (l, x) -> l.tape().dropout(l.dense(l.tape().dropout(m.stem(l, x), 0.3), 9, true), 0.6));
        return cases;
    }

    /** Channel counts past the vector registers and blocked layouts of real libraries, mostly not multiples of them. */
    public static List<NetworkCase> wide(Random random) {
        List<NetworkCase> cases = new ArrayList<>();
        Maker m = new Maker(random, cases);
        int a = 17 + random.nextInt(20);
        int b = 30 + random.nextInt(40);
        m.add("wide conv " + a + " to " + b, (l, x) -> l.conv(l.conv(x, a, 1, 1), b, 3, 1));
        m.add("wide conv 32 to 64 stride 2", (l, x) -> l.tape().relu(l.conv(l.conv(x, 32, 1, 1), 64, 3, 2)));
        m.add("wide norm add relu " + a, (l, x) -> {
            Value stem = l.conv(x, a, 1, 1);
            return l.tape().relu(l.tape().add(l.norm(l.conv(stem, a, 3, 1)), stem));
        });
        m.add("wide norm add relu 32", (l, x) -> {
            Value stem = l.tape().relu(l.norm(l.conv(x, 32, 1, 1)));
            return l.tape().relu(l.tape().add(stem, l.norm(l.conv(stem, 32, 3, 1))));
        });
        m.add("wide concat and pools " + a + " " + b, (l, x) -> {
            Value left = l.tape().maxPool(l.conv(x, a, 1, 1), Window.square(3, 2, 1));
            Value right = l.tape().averagePool(l.conv(x, b, 1, 1), Window.square(3, 2, 1));
            return l.conv(l.tape().concat(List.of(left, right)), 16, 1, 1);
        });
        // Whole vector registers of channels, images that 4x4 tiles do not fill, every kind of padding.
        int high = 5 + random.nextInt(9);
        int wide = 5 + random.nextInt(9);
        m.add(
                "full registers pad 0,2,1,1",
                high,
                wide,
                (l, x) -> l.conv(l.conv(x, 16, 1, 1), 48, new Window(3, 3, 1, 1, 0, 2, 1, 1), 1, false));
        m.add("full registers add relu", wide, high, (l, x) -> {
            Value stem = l.tape().relu(l.conv(x, 32, 1, 1));
            Value inner = l.tape().relu(l.conv(stem, 16, Window.square(3, 1, 1), 1, false));
            return l.tape().relu(l.tape().add(l.conv(inner, 32, 3, 1), stem));
        });
        m.add("wide groups", (l, x) -> l.conv(l.conv(x, 34, 1, 1), 68, Window.square(3, 1, 1), 2, true));
        m.add("wide dense " + b, (l, x) -> l.tape().relu(l.dense(l.conv(x, a, 1, 1), b, true)));
        return cases;
    }

    /** {@link #operations} and {@link #wide}. */
    public static List<NetworkCase> all(Random random) {
        List<NetworkCase> cases = new ArrayList<>(operations(random));
        cases.addAll(wide(random));
        return cases;
    }

    /** Small whole networks: a plain one and a residual one with strided shortcuts. */
    public static List<NetworkCase> networks(Random random) {
        List<NetworkCase> cases = new ArrayList<>();
        Maker m = new Maker(random, cases);
        m.add("small CNN", 8, 8, (l, x) -> {
            Value a = l.tape()
                    .maxPool(l.tape().relu(l.conv(x, 5, Window.square(3, 1, 1), 1, true)), Window.square(2, 2, 0));
            Value b = l.tape().relu(l.norm(l.conv(a, 7, 3, 1)));
            return l.tape().dropout(l.tape().relu(l.dense(b, 11, true)), 0.25);
        });
        m.add("residual", 9, 8, NetworkCase::residual);
        return cases;
    }

    private static Value residual(Layers l, Value x) {
        Value y = l.conv(x, 4, 3, 1);
        for (int channels : new int[] {4, 7}) {
            boolean first = channels == 7;
            Value active = l.tape().relu(l.norm(y));
            Value shortcut = first ? l.conv(active, channels, 1, 2) : y;
            Value inner = l.tape().relu(l.norm(l.conv(active, channels, 3, first ? 2 : 1)));
            y = l.tape().add(l.conv(inner, channels, 3, 1), shortcut);
        }
        Value block = l.tape().relu(l.tape().add(l.norm(l.conv(y, 7, 3, 1)), y)); // the other, post-activation form
        return l.tape().globalAveragePool(block);
    }

    private static Value x2(Layers l, Maker m, Value x) {
        return l.conv(x, m.channels, 1, 1);
    }

    /** Draws sizes; odd ones and ones more often than a uniform draw would. */
    private static final class Maker {
        final Random random;
        final List<NetworkCase> cases;
        final int channels;
        final int imageChannels;
        final int odd;

        Maker(Random random, List<NetworkCase> cases) {
            this.random = random;
            this.cases = cases;
            channels = 1 + random.nextInt(5);
            imageChannels = 1 + random.nextInt(3);
            odd = 1 + 2 * random.nextInt(4);
        }

        Value stem(Layers l, Value images) {
            return l.conv(images, channels, 1, 1);
        }

        void add(String name, BiFunction<Layers, Value, Value> body) {
            add(name, 4 + random.nextInt(4), 4 + random.nextInt(4), body);
        }

        void add(String name, int height, int width, BiFunction<Layers, Value, Value> body) {
            int batch = random.nextInt(4) == 0 ? 1 : 2 + random.nextInt(6);
            int ghostBatch = 1 + random.nextInt(batch + 1); // may exceed the batch, may leave a ragged group
            double smoothing = random.nextBoolean() ? 0 : 0.1;
            cases.add(new NetworkCase(
                    name, batch, ghostBatch, imageChannels, height, width, 2 + random.nextInt(6), smoothing, body));
        }
    }
}
