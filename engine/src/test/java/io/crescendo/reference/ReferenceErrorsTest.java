package io.crescendo.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Feed;
import io.crescendo.backend.ForwardingBackend;
import io.crescendo.backend.HostStepMetrics;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.NetworkCase;
import io.crescendo.backend.Rig;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.tensor.ParameterPack;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Wrong use is refused with the values in the message. */
class ReferenceErrorsTest {
    private final NetworkCase network =
            NetworkCase.networks(new Random(1)).get(0).withBatch(3, 3);
    private final Feed feed = Rig.feed(new Random(2), network, 3);

    private static void refused(Class<? extends Exception> kind, Executable mistake, String... words) {
        String message = String.valueOf(assertThrows(kind, mistake).getMessage());
        for (String word : words) {
            assertTrue(message.contains(word), () -> "'" + word + "' is missing in: " + message);
        }
    }

    @Test
    void feedsThatDoNotFit() {
        try (ReferenceBackend backend = new ReferenceBackend();
                Rig rig = new Rig(backend, network.training(backend.fusions()), 1)) {
            refused(IllegalArgumentException.class, () -> rig.executable.run(Rig.part(feed, 0, 2)), "3 samples", "2");
            refused(
                    IllegalArgumentException.class,
                    () -> rig.executable.run(
                            new Feed(feed.images(), feed.labels().slice(0, 2), 3, 0, 0)),
                    "2 labels",
                    "3");
            refused(
                    IllegalArgumentException.class,
                    () -> rig.executable.run(new Feed(feed.images().slice(0, 7), feed.labels(), 3, 0, 0)),
                    "7 image elements");
            feed.labels().put(1, network.classes());
            refused(
                    IllegalArgumentException.class,
                    () -> rig.executable.run(feed),
                    "sample 1",
                    "" + network.classes(),
                    "0 to " + (network.classes() - 1));
        }
    }

    @Test
    void workspaceShrunkTooFar() {
        try (ReferenceBackend backend = new ReferenceBackend();
                Rig rig = new Rig(backend, network.training(backend.fusions()), 1)) {
            backend.workspace().shrink(rig.plan.totalBytes() - 1);
            refused(IllegalStateException.class, () -> rig.executable.run(feed), "" + rig.plan.totalBytes(), "shrunk");
        }
    }

    /** The point of running on planned offsets: a plan made for values half as large gives no numbers at all. */
    @Test
    void wrongPlansShow() {
        try (ReferenceBackend backend = new ReferenceBackend(EnumSet.allOf(Fusion.class), true)) {
            Program program = network.training(backend.fusions());
            try (LoweredProgram lowered = backend.lower(program);
                    ModelMemory model = ModelMemory.allocate(backend, program, 1)) {
                MemoryRequirements right = lowered.requirements();
                WorkspacePlan plan = WorkspacePlanner.plan(program, new MemoryRequirements() {
                    @Override
                    public long bytes(Value value) {
                        return right.bytes(value) / 2;
                    }

                    @Override
                    public long scratchBytes(int opIndex) {
                        return right.scratchBytes(opIndex);
                    }

                    @Override
                    public boolean mayOverwrite(int opIndex, Value input) {
                        return right.mayOverwrite(opIndex, input);
                    }
                });
                backend.workspace().reserve(4 * plan.totalBytes()); // the last value reaches past the plan's end
                assertThrows(IllegalArgumentException.class, () -> lowered.bind(plan, model), "a plan too small");
                new ReferenceExecutable(
                                program,
                                right,
                                plan,
                                model,
                                (ReferenceWorkspace) backend.workspace(),
                                (HostStepMetrics) backend.metrics(),
                                true)
                        .run(feed);
                double[] gradients = ReferenceMemory.of(model.gradients()).values();
                assertTrue(Arrays.stream(gradients).anyMatch(Double::isNaN), "living values overlapped in silence");
            }
        }
    }

    @Test
    void valuesThatWereNotKept() {
        try (ReferenceBackend backend = new ReferenceBackend();
                Rig rig = new Rig(backend, network.training(backend.fusions()), 1)) {
            refused(
                    IllegalArgumentException.class,
                    () -> rig.executable.read(rig.program.ops().get(0).outputs().get(0), new float[1]),
                    "not kept",
                    "conv0");
            refused(
                    IllegalArgumentException.class,
                    () -> rig.executable.read(rig.program.kept().get(0), new float[1]),
                    "1",
                    "" + 3 * network.classes());
        }
    }

    @Test
    void modelsOfAnotherProgram() {
        try (ReferenceBackend backend = new ReferenceBackend()) {
            Program program = network.training(backend.fusions());
            ModelMemory small = new ModelMemory(backend.allocate(16), backend.allocate(16), backend.allocate(0));
            refused(
                    IllegalArgumentException.class,
                    () -> new Rig(backend, program, small).close(),
                    "weights",
                    "16",
                    "" + program.parameters().elements());
        }
    }

    @Test
    void memoryOutsideItsBounds() {
        try (ReferenceBackend backend = new ReferenceBackend();
                DeviceMemory memory = backend.allocate(5)) {
            refused(IllegalArgumentException.class, () -> memory.write(3, new float[3]), "3 to 6", "5 elements");
            refused(IllegalArgumentException.class, () -> memory.read(-1, new float[1]), "-1", "5 elements");
            refused(IllegalArgumentException.class, () -> backend.allocate(1L << 40), "" + (1L << 40));
        }
    }

    @Test
    void packsThatTheHeapHasNoRoomFor() {
        long elements = Runtime.getRuntime().maxMemory() / Double.BYTES + 1;
        assumeTrue(elements <= ReferenceWorkspace.MOST_ELEMENTS, "a heap that has room for any array");
        try (ReferenceBackend backend = new ReferenceBackend()) {
            refused(
                    DeviceMemoryException.class,
                    () -> backend.allocate(elements),
                    "a flat array of " + elements * Double.BYTES + " bytes",
                    "train a smaller network");
        }
    }

    @Test
    void thePackWithoutRoomIsNamed() {
        int[] left = {0};
        Backend backend = new ForwardingBackend() {
            @Override
            public DeviceMemory allocate(ParameterPack pack) {
                if (left[0]-- == 0) {
                    throw DeviceMemoryException.ofPack("there is no room", 4, new IllegalStateException());
                }
                return super.allocate(pack);
            }
        };
        Program program = network.training(backend.fusions());
        for (String pack : List.of("weights", "gradients", "statistics")) {
            refused(
                    DeviceMemoryException.class,
                    () -> ModelMemory.allocate(backend, program, 1),
                    "no memory for the model's " + pack + ": there is no room; ",
                    "train a smaller network");
            left[0] = pack.equals("weights") ? 1 : 2;
        }
    }

    @Test
    void backendsAreFoundByName() {
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT)) {
            assertEquals("reference", backend.name());
        }
        refused(
                IllegalArgumentException.class,
                () -> Backends.open("abacus", BackendOptions.DEFAULT),
                "abacus",
                "auto",
                "reference");
        // In this module only the reference is there, and that is never chosen automatically.
        refused(IllegalStateException.class, () -> Backends.open("auto", BackendOptions.DEFAULT), "auto", "reference");
    }
}
