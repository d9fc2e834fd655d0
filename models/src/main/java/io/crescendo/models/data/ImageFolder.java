package io.crescendo.models.data;

import io.crescendo.data.DataException;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * JPEG and PNG files in one subfolder per class, decoded whenever they are asked for: data sets larger than memory.
 *
 * <p>The subfolders' names, sorted, are the classes 0, 1, 2, …; within a class the files are sorted by name. Files and
 * folders whose names begin with a dot are not looked at. Every image becomes (3, side, side): see {@link ScaledImage}
 * for how it is scaled and cropped.
 *
 * <p>Opening lists the files and reads none of them. A file that cannot be decoded is named when it is asked for, and
 * {@link #faults} finds all of them beforehand.
 *
 * <pre>{@code
 * DataSplit flowers = ImageFolder.split(Path.of("flowers"), 224); // flowers/train/daisy/1.jpg, flowers/val/daisy/9.jpg
 * List<String> broken = ImageFolder.open("flowers", Path.of("flowers/train"), 224).faults();
 * }</pre>
 */
public final class ImageFolder implements Dataset {
    /** The name under which {@link Datasets} knows any such folder. */
    public static final String NAME = "image-folder";

    private static final int USUAL_SIDE = 224;
    private static final int LARGEST_SIDE = 4096;
    static final String TRAINING_FOLDER = "train";
    private static final Set<String> ENDINGS = Set.of("jpg", "jpeg", "png");
    private static final List<String> TEST_FOLDERS = List.of("val", "test");

    private final String name;
    private final List<String> classNames;
    private final ImageShape shape;
    private final List<Path> files;
    private final int[] labels;

    private ImageFolder(String name, List<String> classNames, int side, List<Path> files, int[] labels) {
        this.name = name;
        this.classNames = classNames;
        this.shape = new ImageShape(3, side, side);
        this.files = files;
        this.labels = labels;
    }

    /**
     * Lists a folder of classes.
     *
     * @param name shown to users
     * @param side rows and columns of every image
     * @throws DataException if there is no class, a class without images, or a file of another kind
     */
    public static ImageFolder open(String name, Path folder, int side) {
        List<Path> classes = children(folder, true);
        if (classes.isEmpty()) {
            throw new DataException(folder + ": expected one subfolder of images per class, found no subfolder");
        }
        List<Path> files = new ArrayList<>();
        List<Integer> labels = new ArrayList<>();
        for (int label = 0; label < classes.size(); label++) {
            List<Path> images = children(classes.get(label), false);
            if (images.isEmpty()) {
                throw new DataException(classes.get(label) + ": expected images of the class '"
                        + classes.get(label).getFileName() + "', found no file; add some or remove the folder");
            }
            for (Path image : images) {
                requireImage(image);
            }
            files.addAll(images);
            labels.addAll(Collections.nCopies(images.size(), label));
        }
        List<String> names =
                classes.stream().map(path -> path.getFileName().toString()).toList();
        return new ImageFolder(
                name,
                names,
                side,
                List.copyOf(files),
                labels.stream().mapToInt(Integer::intValue).toArray());
    }

    /**
     * The folders {@code train} and {@code val} (or {@code test}) below a root, with the same classes in both.
     *
     * @throws DataException if one is missing or their classes differ
     */
    public static DataSplit split(Path root, int side) {
        Path test = TEST_FOLDERS.stream()
                .map(root::resolve)
                .filter(Files::isDirectory)
                .findFirst()
                .orElseThrow(() -> new DataException(root + ": expected the folders train and val (or test), each with"
                        + " one subfolder of images per class; found neither val nor test"));
        String name = String.valueOf(root.getFileName());
        ImageFolder training = open(name + "/" + TRAINING_FOLDER, root.resolve(TRAINING_FOLDER), side);
        ImageFolder tested = open(name + "/" + test.getFileName(), test, side);
        if (!training.classNames.equals(tested.classNames)) {
            List<String> onlyOne = Stream.concat(training.classNames.stream(), tested.classNames.stream())
                    .filter(c -> !training.classNames.contains(c) || !tested.classNames.contains(c))
                    .toList();
            throw new DataException(root + ": expected the same classes in train and " + test.getFileName()
                    + ", found these in only one of them: " + String.join(", ", onlyOne));
        }
        return new DataSplit(training, tested);
    }

    /**
     * The folders of a search, by name: {@code image-folder} for images of 224×224, {@code image-folder:64} for 64×64.
     *
     * @throws DataException if the size is none, or no folder is found, or it is not as {@link #split} wants it
     */
    static DataSplit load(String name, DataSearch search) {
        return load(NAME, name, search);
    }

    /** The same for a kind of data set that is found under a name of its own. */
    static DataSplit load(String kind, String name, DataSearch search) {
        int side = side(kind, name);
        Path root = search.findAround(TRAINING_FOLDER, List.of(kind));
        if (root == null) {
            throw new DataException("No folder of images was found. Searched for a folder " + TRAINING_FOLDER
                    + ", with one subfolder of images per class, in:\n" + search.describe(List.of(kind))
                    + "Name the folder that holds train and val (or test) with --data DIR or $CRESCENDO_DATA");
        }
        return split(root, side);
    }

    /** The directory that holds the training folder, or null. */
    static @Nullable Path find(DataSearch search) {
        return search.findAround(TRAINING_FOLDER, List.of(NAME));
    }

    /** Rows and columns of {@code kind} or {@code kind:SIZE}. */
    static int side(String kind, String name) {
        if (name.equals(kind)) {
            return USUAL_SIDE;
        }
        String size = name.substring(kind.length() + 1);
        int side = size.matches("[0-9]{1,4}") ? Integer.parseInt(size) : 0;
        if (side < 1 || side > LARGEST_SIDE) {
            throw new DataException("data set '" + name + "': expected rows and columns from 1 to " + LARGEST_SIDE
                    + " behind the colon, found '" + size + "'; for example " + kind + ":64");
        }
        return side;
    }

    private static List<Path> children(Path folder, boolean folders) {
        try (Stream<Path> children = Files.list(folder)) {
            return children.filter(path -> !path.getFileName().toString().startsWith("."))
                    .filter(path -> !folders || Files.isDirectory(path))
                    .sorted((a, b) ->
                            a.getFileName().toString().compareTo(b.getFileName().toString()))
                    .toList();
        } catch (IOException e) {
            throw new DataException(
                    folder + ": expected a folder that can be listed (" + e + "); check the path and its permissions",
                    e);
        }
    }

    private static void requireImage(Path file) {
        String name = file.getFileName().toString();
        String ending = name.substring(name.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT);
        if (!ENDINGS.contains(ending) || Files.isDirectory(file)) {
            throw new DataException(file + ": expected an image (.jpg, .jpeg or .png), found "
                    + (Files.isDirectory(file) ? "a folder" : "a file of another kind")
                    + "; move it out of the class's folder");
        }
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public int size() {
        return labels.length;
    }

    @Override
    public int classes() {
        return classNames.size();
    }

    /** The subfolders' names by label. */
    public List<String> classNames() {
        return classNames;
    }

    @Override
    public ImageShape shape() {
        return shape;
    }

    @Override
    public int label(int index) {
        return labels[index];
    }

    /** The file of an image. */
    public Path file(int index) {
        return files.get(index);
    }

    /**
     * Decodes, scales and crops.
     *
     * @throws DataException if the file cannot be decoded; the message names it
     */
    @Override
    public void copyImage(int index, byte[] destination, int offset) {
        Objects.checkFromIndexSize(offset, shape.pixels(), destination.length);
        ScaledImage.read(files.get(index)).copy(shape.height(), destination, offset);
    }

    /** Decodes every file, on all processors; one message per file that cannot be, in the order of the images. */
    public List<String> faults() {
        return IntStream.range(0, size())
                .parallel()
                .mapToObj(index -> {
                    try {
                        ScaledImage.read(files.get(index));
                        return "";
                    } catch (DataException e) {
                        return String.valueOf(e.getMessage());
                    }
                })
                .filter(message -> !message.isEmpty())
                .toList();
    }
}
