package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Feed;
import io.crescendo.backend.NetworkCase;
import io.crescendo.backend.Precision;
import io.crescendo.backend.Rig;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;

/** The contract in tf32: factors of products have 11 binary digits. */
@NullMarked
class CudaTf32Test extends CudaContract {
    CudaTf32Test() {
        super(BackendOptions.DEFAULT.withPrecision(Precision.TF32), StandIns.Schedule.EAGER);
    }

    /** A real library may compute so small a product exactly. */
    @Test
    void denseLayersRoundTheirFactors() {
        CudaTestEnvironment.open().standIns();
        int features = 3;
        try (Backend backend = open()) {
            Tape tape = Tape.inference(1);
            Value images = tape.flatten(tape.images(features, 1, 1));
            Value weight = tape.parameter("weight", Shape.of(1, features), Role.WEIGHT, Initializer.constant(1));
            Value sum = tape.keep(tape.dense(images, weight, null));
            NetworkCase sizes = new NetworkCase("sum", 1, 1, features, 1, 1, 2, 0, (l, x) -> x);
            Feed feed = Rig.feed(new Random(1), sizes, 1);
            for (int i = 0; i < features; i++) {
                feed.images().put(i, 1 + 0x1p-13f);
            }
            try (Rig rig = new Rig(backend, tape.program(backend.fusions()), 1)) {
                float[] found = new float[1];
                rig.executable.run(feed);
                rig.executable.read(sum, found);
                assertArrayEquals(new float[] {features}, found);
            }
        }
    }
}
