package io.crescendo.cuda;

import io.crescendo.data.Augmentation;
import io.crescendo.data.Batch;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.InMemoryDataset;
import io.crescendo.data.Normalization;
import io.crescendo.data.SampleOrder;
import org.jspecify.annotations.NullMarked;

/** gather.cu: the very same batches, to the bit in float32. */
@NullMarked
final class DataCheck {
    private static final int LEVELS = 256;

    private DataCheck() {}

    static void gather(Trial trial) {
        ImageShape shape = new ImageShape(trial.between(1, 4), trial.between(2, 24), trial.between(2, 24));
        int samples = trial.between(1, 40);
        byte[] pixels = new byte[samples * shape.pixels()];
        trial.random().nextBytes(pixels);
        byte[] labels = new byte[samples];
        trial.random().nextBytes(labels);
        Dataset dataset = new InMemoryDataset("random", LEVELS, shape, pixels, labels);
        int padding = trial.random().nextInt(Math.min(shape.height(), shape.width()));
        boolean flip = trial.random().nextBoolean();
        long seed = trial.random().nextLong();
        int epoch = trial.random().nextInt(1000);
        int position = trial.random().nextInt(samples);
        int count = trial.between(1, samples - position);
        Normalization normalization = Normalization.of(dataset);

        SampleOrder order = SampleOrder.shuffled(samples, seed);
        double[] permutation = new double[samples];
        for (int i = 0; i < samples; i++) {
            permutation[i] = order.sample(epoch, i);
        }
        DeviceBuffer images = trial.buffer(count * shape.pixels());
        DeviceBuffer classes = trial.buffer(ElementType.I32, count);
        boolean labelled = trial.random().nextInt(4) > 0;
        DeviceBuffer clock = trial.random().nextBoolean() ? new DeviceBuffer(ElementType.I64, 2, 0) : null;
        long firstSample = (long) epoch * samples + position;
        trial.launch(
                trial.named("gather"),
                trial.written(ElementType.U8, unsigned(pixels)),
                trial.written(ElementType.I32, unsigned(labels)),
                trial.written(ElementType.I32, permutation),
                trial.written(ElementType.F32, table(normalization)),
                new DeviceBuffer(ElementType.I64, 4, 0).writeLongs(seed, firstSample, epoch, position),
                images,
                labelled ? classes : null,
                clock,
                count,
                shape.channels(),
                shape.height(),
                shape.width(),
                padding,
                flip ? 1 : 0);

        try (BatchStream stream = new BatchStream(dataset, normalization, new Augmentation(flip, padding), seed)) {
            Batch batch = stream.next(epoch, position, count);
            double[] expected = new double[count * shape.pixels()];
            double[] expectedClasses = new double[count];
            for (int i = 0; i < expected.length; i++) {
                expected[i] = trial.rounded(batch.images().get(i));
            }
            for (int n = 0; n < count; n++) {
                expectedClasses[n] = batch.labels().get(n);
            }
            String what = count + " of " + samples + " images " + shape + ", padding " + padding + ", flip " + flip;
            int plane = shape.height() * shape.width();
            Trial.closeFloats(what, Trial.toNhwc(expected, shape.channels(), plane), images, 0);
            if (labelled) {
                Trial.closeFloats("labels of " + what, expectedClasses, classes, 0);
            }
            if (clock != null && (clock.longs()[0] != seed || clock.longs()[1] != batch.firstSample())) {
                throw new AssertionError("the dropout clock of " + what + " is "
                        + java.util.Arrays.toString(clock.longs()) + ", not " + seed + " and " + batch.firstSample());
            }
        }
    }

    /** Each step gets what the host wrote into its place, however often the ring has gone round. */
    static void beginStep(Trial trial) {
        int places = trial.between(1, 5);
        int bytes = 64; // StepNumbers of step.cuh
        long begins = trial.random().nextLong() >>> 2;
        DeviceBuffer ring = new DeviceBuffer(ElementType.U8, places * bytes, 0);
        DeviceBuffer begun = new DeviceBuffer(ElementType.I64, 1, 0).writeLongs(begins);
        DeviceBuffer told = new DeviceBuffer(ElementType.I64, 1, 0);
        DeviceBuffer numbers = new DeviceBuffer(ElementType.U8, bytes, 0);
        byte[] written = new byte[places * bytes];
        for (long step = begins; step < begins + 2L * places + 1; step++) {
            trial.random().nextBytes(written); // so no other place holds the same
            ring.write(unsigned(written));
            trial.launchGrid("begin_step", 1, 1, ring, places, begun, told, numbers);
            int first = (int) (step % places) * bytes;
            byte[] own = java.util.Arrays.copyOfRange(written, first, first + bytes);
            Trial.closeFloats("numbers of step " + step + " of " + places, unsigned(own), numbers, 0);
            if (begun.longs()[0] != step + 1 || told.longs()[0] != step) {
                throw new AssertionError("at step " + step + " " + begun.longs()[0]
                        + " have begun, and the host is told " + told.longs()[0]);
            }
        }
    }

    private static double[] table(Normalization normalization) {
        float[] mean = normalization.mean();
        float[] deviation = normalization.standardDeviation();
        double[] table = new double[mean.length * LEVELS];
        for (int i = 0; i < table.length; i++) {
            table[i] = (i % LEVELS / 255.0 - mean[i / LEVELS]) / deviation[i / LEVELS];
        }
        return table;
    }

    private static double[] unsigned(byte[] bytes) {
        double[] values = new double[bytes.length];
        for (int i = 0; i < values.length; i++) {
            values[i] = bytes[i] & 0xFF;
        }
        return values;
    }
}
