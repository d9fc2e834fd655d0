package io.crescendo.backend;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.memory.MicroBatchCosts;
import io.crescendo.tensor.ParameterPack;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.Predicate;

/**
 * One opened device.
 *
 * <p>One thread, the training thread, uses a backend and everything it made, with one exception: so that the next batch
 * size is ready before it is needed, <em>preparing</em> may happen on another thread while the training thread runs
 * programs. Preparing is {@link #lower}, and {@link LoweredProgram#requirements}, {@link LoweredProgram#compile} and
 * {@link LoweredProgram#bindAhead} of what came of it, and {@link Workspace#prepare}. The engine prepares on one thread
 * at a time, which need not always be the same; a backend must only keep apart what preparing and the training thread's
 * calls both touch. {@link LoweredProgram#bind} belongs to the training thread and comes between two runs, so whatever
 * is slow (compiling, measuring algorithms) goes into {@code lower} or {@code compile}, and {@code bind} sets
 * addresses. {@link LoweredProgram#close} may come from either thread at any time.
 *
 * <p>Closing a backend closes what it made.
 */
public interface Backend extends AutoCloseable {
    /** Short name, for example {@code reference}, {@code cpu} or {@code cuda:0}. */
    String name();

    /** One line for people: device, library versions, threads, precision. */
    String description();

    /** The forward patterns this backend can run as one operation. */
    Set<Fusion> fusions();

    /**
     * A zeroed flat array of numbers outside the workspace, for packs and optimizer state.
     *
     * @throws DeviceMemoryException if the device has no room for it
     */
    DeviceMemory allocate(long elements);

    /**
     * The same for numbers that belong to the tensors of a pack: weights, gradients, statistics, optimizer state. The
     * backend may keep a tensor's elements in an order of its own; whoever reads or writes sees logical row-major
     * order.
     */
    default DeviceMemory allocate(ParameterPack pack) {
        return allocate(pack.elements());
    }

    /**
     * All memory of the device in bytes, whether free or not; empty if it does not say. A budget stated as a percentage
     * is a share of this.
     */
    default OptionalLong memoryBytes() {
        return OptionalLong.empty();
    }

    /**
     * Bytes of the device's memory that nobody has allocated, whoever the others are; empty if the device does not say.
     * What this program takes shows as a difference, its context and its libraries' code included.
     */
    default OptionalLong freeBytes() {
        return OptionalLong.empty();
    }

    /** What a micro-batch costs on this kind of device; decides between splitting, recomputing and preparing. */
    default MicroBatchCosts microBatchCosts() {
        return MicroBatchCosts.TYPICAL;
    }

    /** The arena that all bound programs share. */
    Workspace workspace();

    /**
     * Chooses layouts and algorithms for a program; allocates nothing on the device that outlives the call. May run on
     * another thread while a program runs.
     */
    LoweredProgram lower(Program program);

    /**
     * Prepares the update of a whole model.
     *
     * @param rule the formula
     * @param model weights and gradients
     * @param parameters layout of both
     * @param decayed which parameters weight decay applies to
     * @throws IllegalArgumentException if the model is another backend's or has another layout
     * @throws DeviceMemoryException if the device has no room for the optimizer's state
     */
    UpdateKernel prepareUpdate(
            UpdateRule rule,
            ModelMemory model,
            ParameterPack parameters,
            Predicate<io.crescendo.tensor.Parameter> decayed);

    /**
     * Takes a set of images into the device's memory, if this backend can and they leave enough room for training.
     *
     * @return empty if batches have to be fed from the host
     */
    default Optional<ResidentImages> residentImages(ImageSource source) {
        return Optional.empty();
    }

    /** A stopwatch on the device's clock; empty where work is done when a call returns, as the host's clock shows. */
    default Optional<DeviceTimer> timer() {
        return Optional.empty();
    }

    /**
     * Starts to compare the gradients of a model before and after each micro-batch; takes a copy of their pack.
     *
     * @param model of this backend
     * @throws DeviceMemoryException if the device has no room for the copy
     */
    GradientNorms gradientNorms(ModelMemory model);

    /** Where executables add loss and hits. */
    StepMetrics metrics();

    @Override
    void close();
}
