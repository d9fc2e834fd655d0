/**
 * Turns a data set into the stream of samples that training consumes.
 *
 * <p>Decides: which sample stands at which position of an epoch ({@link io.crescendo.data.SampleOrder}), how it is
 * flipped and cropped ({@link io.crescendo.data.Augmentation}), how a pixel becomes a number
 * ({@link io.crescendo.data.Normalization}). All three are functions of (seed, epoch, sample) and of nothing else, so a
 * larger batch only regroups the same stream, a micro-batch is a piece of it, and a resumed run continues it: a batch
 * is asked for by its place on the training clock, never by "the next one".
 *
 * <p>Never touches: files (they belong to the readers in the models module), devices, schedules.
 *
 * <pre>{@code
 * Dataset training = new RandomDataset(1000, 10, new ImageShape(1, 28, 28), 7);
 * Normalization normalization = Normalization.of(training);
 * try (BatchStream stream = new BatchStream(training, normalization, new Augmentation(true, 4), 42)) {
 *     for (int position = 0; position + 128 <= training.size(); position += 128) {
 *         Batch batch = stream.next(0, position, 128);       // epoch 0
 *         if (position + 256 <= training.size()) {
 *             stream.prefetch(0, position + 128, 128);       // filled while this batch is used
 *         }
 *         consume(batch.images(), batch.labels());           // (N, C, H, W) float32 and (N) int32, direct buffers
 *     }
 * }
 * }</pre>
 */
@NullMarked
package io.crescendo.data;

import org.jspecify.annotations.NullMarked;
