package io.crescendo.models.data;

import io.crescendo.data.DataException;
import io.crescendo.data.Dataset;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Fashion-MNIST: 60,000 training and 10,000 test images of 28×28 grey pixels in 10 balanced classes.
 *
 * <p>Looked for in the places of a {@link DataSearch}, otherwise downloaded from its published address (31 MB) into the
 * cache.
 *
 * <p>Source: Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747.
 */
public final class FashionMnist {
    public static final String NAME = "fashion-mnist";

    /** The classes' names by label. */
    public static final List<String> CLASS_NAMES = List.of(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot");

    static final String TRAINING_IMAGES = "train-images-idx3-ubyte";
    static final String TRAINING_LABELS = "train-labels-idx1-ubyte";
    static final String TEST_IMAGES = "t10k-images-idx3-ubyte";
    static final String TEST_LABELS = "t10k-labels-idx1-ubyte";

    private static final List<String> FILES = List.of(TRAINING_IMAGES, TRAINING_LABELS, TEST_IMAGES, TEST_LABELS);
    private static final int SIDE = 28;

    /** The files as published; the SHA-256 are of files whose MD5 are the published ones. */
    private static final Release PUBLISHED = new Release(
            URI.create("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
            List.of(
                    new Download(
                            TRAINING_IMAGES + ".gz",
                            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
                    new Download(
                            TRAINING_LABELS + ".gz",
                            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
                    new Download(
                            TEST_IMAGES + ".gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
                    new Download(
                            TEST_LABELS + ".gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5")));

    /** Where the files are published and how each is checked. */
    record Release(URI address, List<Download> downloads) {}

    private FashionMnist() {}

    /**
     * Finds or downloads the files and reads them.
     *
     * @throws DataException if the files are nowhere to be had, or damaged; the message says how to get them
     */
    public static DataSplit load(DataSearch search) {
        return load(search, PUBLISHED);
    }

    static DataSplit load(DataSearch search, Release release) {
        Path directory = find(search);
        if (directory == null) {
            directory = download(search, release);
        }
        return new DataSplit(
                read(directory, "training", TRAINING_IMAGES, TRAINING_LABELS),
                read(directory, "test", TEST_IMAGES, TEST_LABELS));
    }

    /** The directory that holds the files, or null. */
    static @Nullable Path find(DataSearch search) {
        return search.find(List.of(NAME), FILES);
    }

    private static Dataset read(Path directory, String part, String images, String labels) {
        Dataset dataset = IdxFile.dataset(
                NAME + "/" + part,
                CLASS_NAMES.size(),
                IdxFile.read(DataSearch.resolve(directory, images)),
                IdxFile.read(DataSearch.resolve(directory, labels)));
        if (dataset.shape().height() != SIDE || dataset.shape().width() != SIDE) {
            throw new DataException(
                    DataSearch.resolve(directory, images) + ": image size: expected " + SIDE + "x" + SIDE
                            + ", found " + dataset.shape().height() + "x"
                            + dataset.shape().width() + "; this is not a file of Fashion-MNIST");
        }
        return dataset;
    }

    private static Path download(DataSearch search, Release release) {
        Path directory = search.cache().resolve(NAME);
        search.announce()
                .accept("downloading Fashion-MNIST (31 MB) from " + release.address() + " to " + directory
                        + "; once, it is kept there");
        try {
            for (Download download : release.downloads()) {
                if (!Files.exists(directory.resolve(download.file()))) {
                    download.into(directory, release.address());
                }
            }
            return directory;
        } catch (IOException e) {
            throw new DataException(
                    "Fashion-MNIST was not found and could not be downloaded. Searched for " + String.join(", ", FILES)
                            + " (plain or .gz) in:\n" + search.describe(List.of(NAME)) + "Download from "
                            + release.address() + " to " + directory + " failed: " + e.getMessage() + "\n"
                            + "Get it in one of these ways:\n"
                            + "  apt-get install dataset-fashion-mnist   (Debian and Ubuntu)\n"
                            + "  put the four files into a directory and name it with --data DIR or $CRESCENDO_DATA\n"
                            + "  use the data set fashion-mini, which is built in and needs no files",
                    e);
        }
    }
}
