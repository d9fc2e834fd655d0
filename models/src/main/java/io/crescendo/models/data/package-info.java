/**
 * The data sets that Crescendo knows by name, and the readers of their files.
 *
 * <p>Decides: where a data set's files are looked for ({@link io.crescendo.models.data.DataSearch}), what makes a file
 * valid, and which images train and which test. Every fault of a file is a {@link io.crescendo.data.DataException} that
 * names the file, the field, what was expected, what was found and the fix.
 *
 * <p>Never touches: batches, order and augmentation, which belong to {@code io.crescendo.data}.
 *
 * <pre>{@code
 * DataSplit split = Datasets.load("fashion-mini", DataSearch.standard(null)); // embedded, needs no file
 * Normalization normalization = Normalization.of(split.training());
 * try (BatchStream stream = new BatchStream(split.training(), normalization, Augmentation.NONE, 42)) {
 *     Batch batch = stream.next(0, 0, 128);
 * }
 * DataSplit full = Datasets.load("fashion-mnist", DataSearch.standard(Path.of("data")));
 * DataSplit mine = Datasets.load("image-folder:64", DataSearch.standard(Path.of("flowers"))); // flowers/train/daisy/...
 * }</pre>
 */
@NullMarked
package io.crescendo.models.data;

import org.jspecify.annotations.NullMarked;
