package io.crescendo.backend;

import io.crescendo.autograd.Program;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;

/**
 * The numbers of one model on one device, in flat packs at fixed addresses.
 *
 * @param weights learned parameters
 * @param gradients their gradients, summed over samples; zero between updates
 * @param statistics running means and variances
 */
public record ModelMemory(DeviceMemory weights, DeviceMemory gradients, DeviceMemory statistics)
        implements AutoCloseable {

    /**
     * Allocates the packs and initialises weights and statistics from a seed.
     *
     * @throws DeviceMemoryException that names the pack for which the device has no room
     */
    public static ModelMemory allocate(Backend backend, Program program, long seed) {
        ModelMemory model = new ModelMemory(
                allocate(backend, program.parameters(), "the model's weights"),
                allocate(backend, program.parameters(), "the model's gradients"),
                allocate(backend, program.statistics(), "the model's statistics"));
        initialise(model.weights, program.parameters(), seed);
        initialise(model.statistics, program.statistics(), seed);
        return model;
    }

    private static DeviceMemory allocate(Backend backend, ParameterPack pack, String purpose) {
        try {
            return backend.allocate(pack);
        } catch (DeviceMemoryException e) {
            throw e.withPurpose(purpose);
        }
    }

    private static void initialise(DeviceMemory memory, ParameterPack pack, long seed) {
        for (Parameter parameter : pack.parameters()) {
            memory.write(parameter.offset(), parameter.initialValues(seed));
        }
    }

    /**
     * What a backend asks before it binds a program: whether this is a model of that program, in memory of its own.
     *
     * @param own the backend's kind of memory
     * @throws IllegalArgumentException if not; the message says which pack is another
     */
    public void requireFor(Program program, Class<? extends DeviceMemory> own) {
        requireFor(program.parameters(), own);
        require("statistics", statistics, program.statistics(), own);
    }

    /** The same before it prepares an update. */
    public void requireFor(ParameterPack parameters, Class<? extends DeviceMemory> own) {
        require("weights", weights, parameters, own);
        require("gradients", gradients, parameters, own);
    }

    private static void require(
            String what, DeviceMemory memory, ParameterPack pack, Class<? extends DeviceMemory> own) {
        if (!own.isInstance(memory)) {
            throw new IllegalArgumentException("the model's " + what + " are a "
                    + memory.getClass().getSimpleName() + ", which this backend has not allocated");
        }
        if (memory.elements() != pack.elements()) {
            throw new IllegalArgumentException("the model's " + what + " have " + memory.elements()
                    + " elements, but the program needs " + pack.elements()
                    + "; allocate the model for this program");
        }
    }

    @Override
    public void close() {
        weights.close();
        gradients.close();
        statistics.close();
    }
}
