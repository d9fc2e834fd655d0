package io.crescendo.backend;

/**
 * Images that lie on the device, so that a batch is made where it is used and nothing is sent.
 *
 * <pre>{@code
 * Optional<ResidentImages> images = backend.residentImages(stream.source());
 * images.get().run(executable, epoch, position, 128);   // the same numbers as executable.run with the stream's batch
 * images.get().update(executable, epoch, position, 128, update, scalars); // and all the rest of a training step
 * }</pre>
 */
public interface ResidentImages extends AutoCloseable {
    /**
     * Runs a program on the samples [position, position + samples) of an epoch; otherwise as {@link Executable#run}.
     *
     * @param executable of the same backend
     * @param samples exactly the program's micro-batch
     * @throws IllegalArgumentException if the samples do not lie within the epoch or do not fit the program
     */
    void run(Executable executable, long epoch, long position, int samples);

    /**
     * A whole training step on these samples, in as few launches as the device allows:
     *
     * <pre>{@code
     * images.run(executable, epoch, position, samples);
     * StepMetrics.Reading reading = backend.metrics().take();
     * update.apply(scalars);
     * }</pre>
     *
     * <p>A reading that is not finite has kept the update from happening, as {@link StepMetrics} says.
     *
     * @param executable of the same backend
     * @param samples exactly the program's micro-batch
     * @param update of the program's model
     * @return loss and hits of everything that ran since sums were taken before
     * @throws IllegalArgumentException if the samples do not lie within the epoch or do not fit the program, or the
     *     update is another model's
     */
    StepMetrics.Reading update(
            Executable executable, long epoch, long position, int samples, UpdateKernel update, UpdateScalars scalars);

    @Override
    void close();
}
