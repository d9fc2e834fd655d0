package io.crescendo.cuda;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Which version of a library a file is, as far as names and headers beside it tell: nothing is loaded, because what is
 * in a process once stays there.
 *
 * @param text for example {@code 12.6.4.1}, or only {@code 12} where nothing tells more
 * @param cudaMajor the CUDA version it was built for, where a library of the same name is built for several
 */
record LibraryVersion(String text, OptionalInt cudaMajor) {
    private static final Pattern DEFINED =
            Pattern.compile("^#define CUDNN_(?:MAJOR|MINOR|PATCHLEVEL)\\s+(\\d+)", Pattern.MULTILINE);

    /**
     * From the name behind the links, from the pip package's, from the header's, from a neighbour's, or as it was
     * looked for.
     *
     * @param cudaMajor the CUDA version it was looked for with
     */
    static LibraryVersion of(CudaLibrary library, int cudaMajor, Path file) {
        String suffix = suffix(file);
        Path directory = file.getParent();
        if (suffix.contains(".") || directory == null) {
            return new LibraryVersion(suffix, OptionalInt.empty());
        }
        Path packages = directory.resolve("../../..").normalize();
        Pattern distribution = Pattern.compile("nvidia_(?:cuda_)?"
                + library.title().toLowerCase(Locale.ROOT) + "(?:_cu(\\d{1,3}))?-([0-9.]+)\\.dist-info");
        for (Path information : SearchPlaces.list(packages, "nvidia_*.dist-info")) {
            Matcher matcher = distribution.matcher(String.valueOf(information.getFileName()));
            if (matcher.matches() && (!library.followsCuda() || matcher.group(2).startsWith(cudaMajor + "."))) {
                String built = matcher.group(1);
                return new LibraryVersion(
                        matcher.group(2),
                        built == null ? OptionalInt.empty() : OptionalInt.of(Integer.parseInt(built)));
            }
        }
        return new LibraryVersion(
                switch (library) {
                    case CUDNN -> header(directory.resolve("../include/cudnn_version.h"), suffix);
                    case NVRTC ->
                        SearchPlaces.list(directory, "libnvrtc-builtins.so." + cudaMajor + ".*").stream()
                                .map(LibraryVersion::suffix)
                                .findFirst()
                                .orElse(suffix);
                    case CUBLAS, DRIVER -> suffix;
                },
                OptionalInt.empty());
    }

    private static String suffix(Path file) {
        String real;
        try {
            real = String.valueOf(file.toRealPath().getFileName());
        } catch (IOException e) {
            real = String.valueOf(file.getFileName());
        }
        return real.replaceFirst("^.*\\.so\\.?", "");
    }

    private static String header(Path header, String unknown) {
        try {
            String[] numbers = DEFINED.matcher(Files.readString(header))
                    .results()
                    .map(defined -> defined.group(1))
                    .toArray(String[]::new);
            return numbers.length == 3 ? String.join(".", numbers) : unknown;
        } catch (IOException e) {
            return unknown; // not there, or not text
        }
    }

    /** Whether it was built for another CUDA version than this. */
    boolean isForAnother(int major) {
        return cudaMajor.isPresent() && cudaMajor.getAsInt() != major;
    }

    /**
     * Whether this is known to be newer: {@code 9.19} is newer than {@code 9.14}, but nothing is known of {@code 9}.
     */
    boolean isNewerThan(LibraryVersion other) {
        int[] own = numbers();
        int[] others = other.numbers();
        for (int i = 0; i < Math.min(own.length, others.length); i++) {
            if (own[i] != others[i]) {
                return own[i] > others[i];
            }
        }
        return false;
    }

    private int[] numbers() {
        return Stream.of(text.split("\\.", -1))
                .takeWhile(part -> part.matches("\\d{1,9}"))
                .mapToInt(Integer::parseInt)
                .toArray();
    }
}
