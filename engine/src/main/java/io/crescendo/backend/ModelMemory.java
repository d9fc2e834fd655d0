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

    /** Allocates the packs and initialises weights and statistics from a seed. */
    public static ModelMemory allocate(Backend backend, Program program, long seed) {
        ModelMemory model = new ModelMemory(
                backend.allocate(program.parameters()),
                backend.allocate(program.parameters()),
                backend.allocate(program.statistics()));
        initialise(model.weights, program.parameters(), seed);
        initialise(model.statistics, program.statistics(), seed);
        return model;
    }

    private static void initialise(DeviceMemory memory, ParameterPack pack, long seed) {
        for (Parameter parameter : pack.parameters()) {
            memory.write(parameter.offset(), parameter.initialValues(seed));
        }
    }

    @Override
    public void close() {
        weights.close();
        gradients.close();
        statistics.close();
    }
}
