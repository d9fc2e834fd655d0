package io.crescendo.models.data;

import io.crescendo.data.DataException;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** The data sets by name. */
public final class Datasets {
    private Datasets() {}

    /** Every known name; the last two may be followed by a size, as in {@code image-folder:64}. */
    public static List<String> names() {
        return List.of(FashionMini.NAME, FashionMnist.NAME, Cifar10.NAME, ImageNet.NAME, ImageFolder.NAME);
    }

    /** Whether {@link #load} knows this data set. */
    public static boolean isKnown(String name) {
        return names().contains(kind(name));
    }

    /** The name without a size. */
    private static String kind(String name) {
        return Stream.of(ImageNet.NAME, ImageFolder.NAME)
                .filter(kind -> name.startsWith(kind + ":"))
                .findFirst()
                .orElse(name);
    }

    /**
     * Loads a data set.
     *
     * @throws DataException if the name is unknown, or the data cannot be found or read
     */
    public static DataSplit load(String name, DataSearch search) {
        return switch (kind(name)) {
            case FashionMini.NAME -> FashionMini.load();
            case FashionMnist.NAME -> FashionMnist.load(search);
            case Cifar10.NAME -> Cifar10.load(search);
            case ImageNet.NAME -> ImageNet.load(name, search);
            case ImageFolder.NAME -> ImageFolder.load(name, search);
            default -> throw unknown(name);
        };
    }

    /**
     * The images' shape and the count of classes, known without any file; of a folder of images, once it is listed.
     *
     * @throws DataException if the name is unknown, or a folder of images cannot be found
     */
    public static DataForm form(String name, DataSearch search) {
        return switch (kind(name)) {
            case FashionMini.NAME, FashionMnist.NAME -> new DataForm(new ImageShape(1, 28, 28), 10);
            case Cifar10.NAME -> new DataForm(new ImageShape(3, 32, 32), 10);
            case ImageNet.NAME -> ImageNet.form(name);
            case ImageFolder.NAME -> {
                Dataset images = ImageFolder.load(name, search).training();
                yield new DataForm(images.shape(), images.classes());
            }
            default -> throw unknown(name);
        };
    }

    /**
     * Where a data set lies, found without reading or downloading anything: a directory, or {@code embedded}; null if
     * it is not here.
     *
     * @throws DataException if the name is unknown, or a directory that the user named is none
     */
    public static @Nullable String whereabouts(String name, DataSearch search) {
        return switch (kind(name)) {
            case FashionMini.NAME -> "embedded";
            case FashionMnist.NAME -> text(FashionMnist.find(search));
            case Cifar10.NAME -> text(Cifar10.find(search));
            case ImageNet.NAME -> text(ImageNet.find(search));
            case ImageFolder.NAME -> text(ImageFolder.find(search));
            default -> throw unknown(name);
        };
    }

    private static @Nullable String text(@Nullable Path directory) {
        return directory == null ? null : directory.toString();
    }

    private static DataException unknown(String name) {
        return new DataException("unknown data set '" + name + "'; known: " + String.join(", ", names()));
    }
}
