package io.crescendo.models.data;

import io.crescendo.data.DataException;
import io.crescendo.data.Dataset;
import io.crescendo.data.Subset;
import java.io.IOException;
import java.io.InputStream;

/**
 * A small real data set that needs no files and no network: the 10,000 test images of Fashion-MNIST, embedded.
 *
 * <p>The split is fixed and balanced: of each of the 10 classes the first 800 images in the order of the file are for
 * training (8,000) and the other 200 for test (2,000). Results on it are not comparable to those on Fashion-MNIST.
 *
 * <p>Copyright 2017 Zalando SE, MIT licence; the notice lies beside the embedded files.
 */
public final class FashionMini {
    public static final String NAME = "fashion-mini";

    static final int TRAINING_PER_CLASS = 800;

    private FashionMini() {}

    public static DataSplit load() {
        int classes = FashionMnist.CLASS_NAMES.size();
        Dataset all = IdxFile.dataset(
                NAME, classes, read(FashionMnist.TEST_IMAGES + ".gz"), read(FashionMnist.TEST_LABELS + ".gz"));
        int[] training = new int[classes * TRAINING_PER_CLASS];
        int[] test = new int[all.size() - training.length];
        int[] seen = new int[classes];
        int trainingCount = 0;
        int testCount = 0;
        for (int index = 0; index < all.size(); index++) {
            if (seen[all.label(index)]++ < TRAINING_PER_CLASS) {
                training[trainingCount++] = index;
            } else {
                test[testCount++] = index;
            }
        }
        return new DataSplit(new Subset(NAME + "/training", all, training), new Subset(NAME + "/test", all, test));
    }

    private static IdxFile read(String file) {
        String resource = NAME + "/" + file;
        try (InputStream input = FashionMini.class.getResourceAsStream(resource)) {
            if (input == null) {
                throw new DataException("embedded " + resource
                        + ": not in the crescendo-models jar; the jar is incomplete: build it again");
            }
            return IdxFile.read("embedded " + resource, input);
        } catch (IOException e) {
            throw new DataException("embedded " + resource + ": cannot be read (" + e + ")", e);
        }
    }
}
