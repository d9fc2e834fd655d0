package io.crescendo.backend;

/**
 * Images that lie on the device, so that a batch is made where it is used and nothing is sent.
 *
 * <pre>{@code
 * Optional<ResidentImages> images = backend.residentImages(stream.source());
 * images.get().run(executable, epoch, position, 128);   // the same numbers as executable.run with the stream's batch
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

    @Override
    void close();
}
