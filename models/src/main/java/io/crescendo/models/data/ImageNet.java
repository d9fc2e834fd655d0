package io.crescendo.models.data;

import io.crescendo.data.DataException;
import io.crescendo.data.ImageShape;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * ImageNet of the challenge of 2012 (Russakovsky et al. 2014, arXiv 1409.0575): 1,281,167 training and 50,000
 * validation images of 1000 classes.
 *
 * <p>An {@link ImageFolder} whose form is known without any file, so that a network for it can be planned where the
 * images are not. They cannot be downloaded without an account at image-net.org; {@code train/} and {@code val/} hold
 * one folder per class, as other programs want it too. {@code imagenet} are images of 224×224, {@code imagenet:299} of
 * 299×299.
 */
final class ImageNet {
    static final String NAME = "imagenet";

    private static final int CLASSES = 1000;

    private ImageNet() {}

    static DataForm form(String name) {
        int side = ImageFolder.side(NAME, name);
        return new DataForm(new ImageShape(3, side, side), CLASSES);
    }

    /**
     * @throws DataException if no folder is found, or it is not as {@link ImageFolder#split} wants it, of 1000 classes
     */
    static DataSplit load(String name, DataSearch search) {
        DataSplit split = ImageFolder.load(NAME, name, search);
        int classes = split.training().classes();
        if (classes != CLASSES) {
            throw new DataException(find(search) + ": expected the " + CLASSES + " classes of ImageNet in train, found "
                    + classes + " with " + split.training().size() + " images; for images of your own use the data set "
                    + ImageFolder.NAME + " and their number as trainingSamples");
        }
        return split;
    }

    static @Nullable Path find(DataSearch search) {
        return search.findAround(ImageFolder.TRAINING_FOLDER, List.of(NAME));
    }
}
