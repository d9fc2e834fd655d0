package io.crescendo.backend;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.tensor.ParameterPack;
import java.util.Set;
import java.util.function.Predicate;

/**
 * One opened device.
 *
 * <p>Not thread-safe: one thread at a time uses a backend and everything it made. Closing it closes what it made.
 */
public interface Backend extends AutoCloseable {
    /** Short name, for example {@code reference}, {@code cpu} or {@code cuda:0}. */
    String name();

    /** One line for people: device, library versions, threads, precision. */
    String description();

    /** The forward patterns this backend can run as one operation. */
    Set<Fusion> fusions();

    /** A zeroed flat array of numbers outside the workspace, for packs and optimizer state. */
    DeviceMemory allocate(long elements);

    /**
     * The same for numbers that belong to the tensors of a pack: weights, gradients, statistics, optimizer state. The
     * backend may keep a tensor's elements in an order of its own; whoever reads or writes sees logical row-major
     * order.
     */
    default DeviceMemory allocate(ParameterPack pack) {
        return allocate(pack.elements());
    }

    /** The arena that all bound programs share. */
    Workspace workspace();

    /** Chooses layouts and algorithms for a program; allocates nothing on the device. */
    LoweredProgram lower(Program program);

    /**
     * Prepares the update of a whole model.
     *
     * @param rule the formula
     * @param model weights and gradients
     * @param parameters layout of both
     * @param decayed which parameters weight decay applies to
     */
    UpdateKernel prepareUpdate(
            UpdateRule rule,
            ModelMemory model,
            ParameterPack parameters,
            Predicate<io.crescendo.tensor.Parameter> decayed);

    /** Where executables add loss and hits. */
    StepMetrics metrics();

    @Override
    void close();
}
